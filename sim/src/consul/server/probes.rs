//! Carries out what the agents' checks try, and tells them how it went.

use std::convert::Infallible;
use std::rc::Rc;

use ironbird_agent::host::Host;
use tokio::task::JoinSet;

use super::{Observer, Shared};
use crate::consul::probe::carry_out;

/// Answers every probe of `shared` from `host`, however many are under way at once.
pub(super) async fn keep<H: Host>(host: H, shared: Shared, observer: Rc<impl Observer>) -> Infallible {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(done) = running.join_next() => {
                if let Ok((node, id, result)) = done {
                    let now = host.now();
                    // A node that was stopped meanwhile has no use for it.
                    shared.update(now, node, &*observer, |consul| consul.probed(now, &id, result));
                }
            }
            () = shared.probing() => {
                let now = host.now();
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
