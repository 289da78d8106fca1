//! The name the service is advertised under, which a role may change or withdraw while it runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

/// A handle to what the pilot advertises. Cloning it shares it.
///
/// A change is carried out in order: the registration under the old name goes first, as soon as Consul has answered
/// what it was asked last or that was given up; one under the new name comes after a health check that began after
/// the change has passed, and that check is not left waiting for the interval.
#[derive(Debug, Clone)]
pub struct Advertisement {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: RefCell<Option<String>>,
    generation: Cell<u64>,
    /// Wakes the health checks.
    check: Notify,
    /// Wakes the registrar.
    register: Notify,
}

impl Advertisement {
    /// Advertises `name`, or nothing yet.
    pub fn new(name: Option<&str>) -> Self {
        Self {
            shared: Rc::new(Shared {
                name: RefCell::new(name.map(str::to_owned)),
                generation: Cell::new(0),
                check: Notify::new(),
                register: Notify::new(),
            }),
        }
    }

    /// From now on advertises `name`, or nothing. What is advertised already is left alone.
    pub fn advertise(&self, name: Option<&str>) {
        if self.shared.name.borrow().as_deref() == name {
            return;
        }
        self.shared.name.replace(name.map(str::to_owned));
        self.shared.generation.set(self.shared.generation.get() + 1);
        self.shared.register.notify_one();
        if name.is_some() {
            self.shared.check.notify_one();
        }
    }

    /// What is to be advertised. What Consul knows follows.
    pub fn name(&self) -> Option<String> {
        self.shared.name.borrow().clone()
    }

    /// Grows with every change, so that a health check can be told from one before the change.
    pub(super) fn generation(&self) -> u64 {
        self.shared.generation.get()
    }

    pub(super) async fn check_due(&self) {
        self.shared.check.notified().await;
    }

    /// There is something for the registrar to look at.
    pub(super) fn wake_registrar(&self) {
        self.shared.register.notify_one();
    }

    pub(super) async fn register_due(&self) {
        self.shared.register.notified().await;
    }
}
