//! Look, decide, do: the one loop that changes anything while the database runs.
//!
//! Beside it only two rights are watched: to be writable and to acknowledge. When one is lost, whatever the
//! loop is doing is dropped, and the right is taken from the database first.

use std::convert::Infallible;
use std::time::Duration;

use super::decide::{self, Action, decide};
use super::notes::Phase;
use super::{Role, TURN, say};
use crate::host::Host;
use crate::journal::Level;
use crate::planted::{self, Bug};

/// Pauses double this often, from half a [`TURN`] to eight of them.
const BACK_OFF_MAX: u32 = 5;
/// The same thing done this often without a pause is not getting anywhere.
const REPEATED: u32 = 3;

/// How to rest when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Everything is as it should be.
    UntilChange,
    /// Something is not there yet and may take its time.
    BackOff,
    /// Others are about to act.
    Turn,
}

/// A right that was lost, and why.
enum Lost {
    Writing(&'static str),
    Acknowledging(&'static str),
}

impl<H: Host> Role<H> {
    /// Looks, decides and does, for as long as the database runs. Never ends.
    pub(super) async fn reconcile(&self) {
        let mut random = self.host.random("election");
        loop {
            tokio::select! {
                biased;
                lost = self.right_lost() => match lost {
                    Lost::Writing(why) => self.demote(why).await,
                    Lost::Acknowledging(why) => self.silence(why).await,
                },
                never = self.take_turns(&mut random) => match never {},
            }
        }
    }

    /// Completes when the database may do what it must not. It does not ask the database, which may have
    /// no answer to give.
    async fn right_lost(&self) -> Lost {
        loop {
            let changed = self.changed.notified();
            let writable = self.writable.get() && !planted::is(Bug::LeadershipForEver);
            let acknowledging = self.acknowledging.get();
            if !writable && !acknowledging {
                changed.await;
                continue;
            }
            {
                let lease = self.lease.valid();
                let lock = &self.seen.borrow().lock;
                if let (true, Some(why)) = (writable, decide::deposed(lease.as_deref(), lock)) {
                    return Lost::Writing(why);
                }
                let published = self.published.borrow();
                let published = published
                    .as_ref()
                    .filter(|(session, _)| lease.as_ref() == Some(session))
                    .map(|(_, position)| position);
                if let (true, Some(why)) = (acknowledging, decide::unsworn(lease.as_deref(), lock, published))
                {
                    return Lost::Acknowledging(why);
                }
            }
            tokio::select! {
                biased;
                () = self.lease.ended() => {}
                () = changed => {}
            }
        }
    }

    async fn take_turns(&self, random: &mut impl rand::Rng) -> Infallible {
        let mut waited: u32 = 0;
        let mut last = (Action::Wait, 0);
        loop {
            let changed = self.changed.notified();
            let pause = match self.turn().await {
                // Nothing to do until something changes; health checks look at the database meanwhile.
                Ok((Action::Wait, Rest::UntilChange)) => {
                    last = (Action::Wait, 0);
                    changed.await;
                    waited = 0;
                    continue;
                }
                Ok((Action::Wait, Rest::BackOff)) => {
                    waited = (waited + 1).min(BACK_OFF_MAX);
                    TURN / 4 * 2_u32.pow(waited)
                }
                Ok((Action::Wait | Action::Acquire { .. }, _)) => TURN,
                Ok((action, _)) => {
                    waited = 0;
                    last = if last.0 == action { (action, last.1 + 1) } else { (action, 1) };
                    if last.1 < REPEATED {
                        continue;
                    }
                    TURN
                }
                Err(error) => {
                    self.log(Level::Debug, error);
                    TURN / 2
                }
            };
            tokio::select! {
                biased;
                () = changed => waited = 0,
                () = self.rest(random, pause) => {}
            }
        }
    }

    /// One turn: the action taken, and how to rest after none.
    async fn turn(&self) -> Result<(Action, Rest), String> {
        let mut database = self.look().await.map_err(say)?;
        if database.executed.is_empty() && self.adopt_snapshot().await? {
            database = self.look().await.map_err(say)?;
        }
        if !self.seen.borrow().known && !database.writable && !database.acknowledging {
            return Ok((Action::Wait, Rest::BackOff));
        }
        let free = self.seen.borrow().lock.session.is_none();
        let known = self.seen.borrow().members.clone();
        let members = match known {
            Some(members) if self.is_ours() => members,
            _ if self.is_ours() || (free && !database.writable) => {
                self.registry.members(self.me()).await.map_err(say)?
            }
            _ => Vec::new(),
        };
        let view = self.view(database, members);
        // Written down before anything is done on account of it.
        self.remember(view.reign()).await?;
        let action = decide(&view);
        match &action {
            Action::Wait => {
                let settled = self.settle(&view).await?;
                let rest = match (free, settled) {
                    (true, _) => Rest::Turn,
                    (false, true) => Rest::UntilChange,
                    (false, false) => Rest::BackOff,
                };
                return Ok((action, rest));
            }
            Action::Demote { why } => self.demote(why).await,
            Action::Silence { why } => self.silence(why).await,
            other => self.act(other, &view).await?,
        }
        Ok((action, Rest::Turn))
    }

    /// Says which role this is when nothing is left to be done about it; whether nothing is.
    async fn settle(&self, view: &decide::View) -> Result<bool, String> {
        let database = &view.database;
        if database.writable {
            self.become_role("primary", "holds the lock");
            return Ok(true);
        }
        if !database.connected || !database.applying {
            return Ok(false);
        }
        self.become_role("replica", "replicates");
        self.enter_phase(Phase::Joined).await?;
        let term = self.term();
        Ok(view.published.as_ref().is_none_or(|published| published.follows == term))
    }

    async fn act(&self, action: &Action, view: &decide::View) -> Result<(), String> {
        match action {
            Action::Wait | Action::Demote { .. } | Action::Silence { .. } => Ok(()),
            Action::Release { why } => self.release(why).await,
            Action::Promote { term } => self.promote(*term).await,
            Action::Enlist { name, server } => self.enlist(name, server).await,
            Action::Dismiss { name, server } => self.dismiss(name, server, view).await,
            Action::Follow { address } => self.follow(address).await,
            Action::Apply => self.database.query("START SLAVE SQL_THREAD").await.map_err(say).map(drop),
            Action::Publish { follows, acknowledges } => self.publish(view, *follows, *acknowledges).await,
            Action::Vouch { term } => self.vouch(*term).await,
            Action::Prepare { term } => self.prepare(*term, view).await,
            Action::Acquire { claim } => self.acquire(claim, view).await,
            Action::Reclone { why } => {
                self.become_role("stuck", why);
                self.log(Level::Warn, format!("giving up {}: {why}", view.database.executed));
                // Whatever happens from here on, this data is not started on again.
                self.enter_phase(Phase::None).await?;
                self.kill_database();
                // Its end is the end of all this.
                self.host.sleep(Duration::from_secs(60)).await;
                Ok(())
            }
        }
    }
}
