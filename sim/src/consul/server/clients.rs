//! How many connections every client has open.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

/// `limits.http_max_conns_per_client` of a real agent that says nothing else.
pub const CONNECTIONS_MAX: usize = 200;

/// The open connections of each client.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients(Rc<RefCell<BTreeMap<IpAddr, usize>>>);

impl Clients {
    /// A place for one more connection of `client`, while it may have one.
    pub(super) fn admit(&self, client: IpAddr) -> Option<Place> {
        let mut counts = self.0.borrow_mut();
        let count = counts.entry(client).or_default();
        if *count >= CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(Place { clients: self.clone(), client })
    }

    /// How many there are of all clients.
    pub(super) fn count(&self) -> usize {
        self.0.borrow().values().sum()
    }
}

/// One connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    clients: Clients,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.clients.0.borrow_mut();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{CONNECTIONS_MAX, Clients};

    #[test]
    fn a_client_has_its_places_and_gives_them_back() {
        let [one, other] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
        let clients = Clients::default();
        let mut places: Vec<_> = (0..CONNECTIONS_MAX).map_while(|_| clients.admit(one)).collect();
        assert_eq!(places.len(), CONNECTIONS_MAX);
        assert!(clients.admit(one).is_none());
        assert!(clients.admit(other).is_some(), "the other's place is free again at once");
        places.pop();
        assert!(clients.admit(one).is_some());
        drop(places);
        assert_eq!(clients.count(), 0);
    }
}
