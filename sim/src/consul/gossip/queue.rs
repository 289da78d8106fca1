//! The rumours a node has yet to pass on.
//!
//! Each is sent a limited number of times, which is enough to reach everybody with near certainty, and
//! those that were sent least go first. A newer rumour about a member replaces the older one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::message::Rumour;

/// More than this are not kept: those sent most often go.
const DEPTH_MAX: usize = 4096;

/// What a rumour costs in a datagram besides its own bytes.
const OVERHEAD: usize = 3;

/// Sent least first, then largest first, then newest first.
type Rank = (u32, Reverse<usize>, Reverse<u64>);

/// Rumours of one kind.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Rank, Rumour>,
    about: BTreeMap<Rc<str>, Rank>,
    queued: u64,
}

impl Queue {
    /// Whether there is nothing to pass on.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Passes `rumour` on, and gives the number that names it.
    pub(super) fn push(&mut self, rumour: Rumour) -> u64 {
        self.queued += 1;
        let rank = (0, Reverse(rumour.size()), Reverse(self.queued));
        if let Some(node) = subject(&rumour)
            && let Some(older) = self.about.insert(Rc::clone(node), rank)
        {
            self.waiting.remove(&older);
        }
        self.waiting.insert(rank, rumour);
        while self.waiting.len() > DEPTH_MAX {
            if let Some((_, dropped)) = self.waiting.pop_last() {
                self.forget(&dropped);
            }
        }
        self.queued
    }

    /// Whether the rumour of that number still has to be passed on.
    pub(super) fn holds(&self, number: u64) -> bool {
        self.waiting.keys().any(|(_, _, Reverse(other))| *other == number)
    }

    /// Takes what fits in `room` bytes, and leaves in `room` what is left of it. A rumour that was sent
    /// `limit` times is gone.
    pub(super) fn take(&mut self, room: &mut usize, limit: u32, mut each: impl FnMut(Rumour)) {
        let mut taken = Vec::new();
        for (rank, rumour) in &self.waiting {
            let (_, Reverse(size), _) = rank;
            if *room <= OVERHEAD {
                break;
            }
            if size + OVERHEAD <= *room {
                *room -= size + OVERHEAD;
                taken.push(*rank);
                each(rumour.clone());
            }
        }
        for rank in taken {
            let Some(rumour) = self.waiting.remove(&rank) else { continue };
            let (sent, size, number) = rank;
            if sent + 1 >= limit {
                self.forget(&rumour);
                continue;
            }
            let rank = (sent + 1, size, number);
            if let Some(node) = subject(&rumour) {
                self.about.insert(Rc::clone(node), rank);
            }
            self.waiting.insert(rank, rumour);
        }
    }

    fn forget(&mut self, rumour: &Rumour) {
        if let Some(node) = subject(rumour) {
            self.about.remove(node);
        }
    }
}

/// The member that only one rumour at a time can be about.
fn subject(rumour: &Rumour) -> Option<&Rc<str>> {
    match rumour {
        Rumour::Alive(alive) => Some(&alive.node),
        Rumour::Suspect { node, .. } | Rumour::Dead { node, .. } => Some(node),
        Rumour::Join { .. } | Rumour::Leave { .. } | Rumour::User(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{DEPTH_MAX, Queue};
    use crate::consul::gossip::message::Rumour;

    fn suspect(node: &str, incarnation: u64) -> Rumour {
        Rumour::Suspect { incarnation, node: node.into(), from: "x".into() }
    }

    fn take(queue: &mut Queue, mut room: usize, limit: u32) -> Vec<Rumour> {
        let mut taken = Vec::new();
        queue.take(&mut room, limit, |rumour| taken.push(rumour));
        taken
    }

    #[test]
    fn a_rumour_is_sent_a_limited_number_of_times() {
        let mut queue = Queue::default();
        let number = queue.push(suspect("a", 1));
        for _ in 0..4 {
            assert!(queue.holds(number));
            assert_eq!(take(&mut queue, 1_400, 4), [suspect("a", 1)]);
        }
        assert!(queue.is_empty() && !queue.holds(number) && queue.about.is_empty());
    }

    #[test]
    fn a_newer_rumour_replaces_an_older_one_about_the_same_member() {
        let mut queue = Queue::default();
        queue.push(suspect("a", 1));
        take(&mut queue, 1_400, 4);
        queue.push(suspect("a", 2));
        queue.push(suspect("b", 1));
        assert_eq!(take(&mut queue, 1_400, 4), [suspect("b", 1), suspect("a", 2)]);
    }

    #[test]
    fn intents_do_not_replace_each_other() {
        let mut queue = Queue::default();
        queue.push(Rumour::Join { ltime: 1, node: "a".into() });
        queue.push(Rumour::Join { ltime: 2, node: "a".into() });
        assert_eq!(take(&mut queue, 1_400, 4).len(), 2);
    }

    #[test]
    fn what_was_sent_least_goes_first_when_there_is_little_room() {
        let mut queue = Queue::default();
        queue.push(suspect("a", 1));
        take(&mut queue, 1_400, 4);
        queue.push(suspect("b", 1));
        assert_eq!(take(&mut queue, 60, 4), [suspect("b", 1)]);
        assert_eq!(take(&mut queue, 10, 4), []);
    }

    #[test]
    fn a_flood_is_cut_off() {
        let mut queue = Queue::default();
        for number in 0..2 * DEPTH_MAX {
            queue.push(suspect(&number.to_string(), 1));
        }
        assert_eq!(queue.waiting.len(), DEPTH_MAX);
        assert_eq!(queue.about.len(), DEPTH_MAX);
    }
}
