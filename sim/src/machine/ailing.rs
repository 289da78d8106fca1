//! Commands that are slow, fail or hang: what a fault does to whatever a machine's processes start.

use std::time::Duration;

use super::Machine;

/// What is wrong with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// It takes longer to begin.
    Slow(Duration),
    /// It fails at once.
    Fails,
    /// It does nothing until it is killed.
    Hangs,
}

/// Ailments by the number of the fault that brought them, each with the program it is about.
pub(super) type Ailments = std::collections::BTreeMap<usize, (String, Ailment)>;

impl Machine {
    /// Lets every start of `program` ail from now on, on account of fault `number`.
    pub fn ail(&self, number: usize, program: &str, ailment: Ailment) {
        self.ailments.borrow_mut().insert(number, (program.to_owned(), ailment));
    }

    /// Ends what fault `number` brought. What hangs already goes on hanging.
    pub fn recover(&self, number: usize) {
        self.ailments.borrow_mut().remove(&number);
    }

    /// What a start of `program` suffers from: the worst of all.
    pub(super) fn ailment_of(&self, program: &str) -> Option<Ailment> {
        let ailments = self.ailments.borrow();
        let mut own: Vec<_> =
            ailments.values().filter(|(name, _)| name == program).map(|(_, ailment)| *ailment).collect();
        own.sort_by_key(|ailment| match ailment {
            Ailment::Slow(delay) => (0, *delay),
            Ailment::Fails => (1, Duration::ZERO),
            Ailment::Hangs => (2, Duration::ZERO),
        });
        own.pop()
    }
}
