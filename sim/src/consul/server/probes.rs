//! Carries out what the agents' checks try, and tells them how it went.

use std::convert::Infallible;
use std::rc::Rc;

use tokio::task::JoinSet;

use super::{Clock, Observer, Shared};
use crate::consul::probe::{Network, carry_out};

/// Answers every probe of `shared` from `host`, however many are under way at once, by the time of `clock`.
pub(super) async fn keep(
    clock: impl Clock,
    host: impl Network,
    shared: Shared,
    observer: Rc<impl Observer>,
) -> Infallible {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = running.join_next() => {
                if let Ok((node, id, result)) = done {
                    let now = clock.now();
                    // A node that was stopped meanwhile has no use for it.
                    shared.update(now, node, &*observer, |consul| consul.probed(now, &id, result));
                }
            }
            () = shared.probing() => {
                let now = clock.now();
                let due = shared.update_all(now, &*observer, |fleet| fleet.take_probes(now));
                for (node, probe) in due {
                    let host = host.clone();
                    running.spawn_local(async move {
                        let result = carry_out(&host, &probe.target).await;
                        (node, probe.id, result)
                    });
                }
            }
        }
    }
}
