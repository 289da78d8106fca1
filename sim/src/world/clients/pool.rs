//! A client's open connections.

use std::collections::VecDeque;

use super::find::Primary;

/// Connections, used in turn.
pub(super) struct Pool<C> {
    size: usize,
    open: VecDeque<(C, Primary)>,
}

impl<C> Pool<C> {
    /// An empty pool that is full with `size` connections.
    pub(super) fn new(size: usize) -> Self {
        Self { size: size.max(1), open: VecDeque::new() }
    }

    /// The connection that was not used for the longest time; `None` while there is room for another one.
    /// Those to a primary of a term before `term` are closed.
    pub(super) fn take(&mut self, term: u64) -> Option<(C, Primary)> {
        self.open.retain(|(_, primary)| primary.term >= term);
        if self.open.len() < self.size { None } else { self.open.pop_front() }
    }

    /// Puts one back, or a new one in.
    pub(super) fn put(&mut self, connection: C, primary: Primary) {
        self.open.push_back((connection, primary));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(name: &str, term: u64) -> Primary {
        Primary { name: name.to_owned(), address: "10.0.0.1:3306".parse().unwrap(), term }
    }

    #[test]
    fn connections_are_used_in_turn_once_the_pool_is_full() {
        let mut pool = Pool::new(2);
        assert!(pool.take(0).is_none());
        pool.put('a', primary("mysql-1", 0));
        assert!(pool.take(0).is_none());
        pool.put('b', primary("mysql-1", 0));
        for expected in ['a', 'b', 'a'] {
            let (connection, primary) = pool.take(0).unwrap();
            assert_eq!(connection, expected);
            pool.put(connection, primary);
        }
        // One that failed is not put back; the next is opened in its place.
        pool.take(0).unwrap();
        assert!(pool.take(0).is_none());
    }

    #[test]
    fn no_connection_leads_to_an_earlier_term_than_was_seen() {
        let mut pool = Pool::new(2);
        pool.put('a', primary("mysql-1", 3));
        pool.put('b', primary("mysql-2", 4));
        assert!(pool.take(4).is_none());
        pool.put('c', primary("mysql-2", 4));
        assert_eq!(pool.take(4).map(|(connection, _)| connection), Some('b'));
    }
}
