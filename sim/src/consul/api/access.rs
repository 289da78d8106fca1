//! What the bearer of a request's token may do, and what is said when that is not enough.
//!
//! A token is looked up where the request is read. What concerns an agent is asked in its endpoints; what
//! concerns the servers' state is asked where a read is answered and where the leader settles a write, for
//! only they know what there is. The table in [`acl`](crate::consul::acl) says what each endpoint asks.

use std::rc::Rc;

use http::StatusCode;

use super::Call;
use super::reply::Failure;
use crate::consul::Consul;
use crate::consul::acl::Authorizer;
use crate::consul::state::catalog::{Catalog, Check, Node, Service};
use crate::consul::state::txn::{Done, KvOperation, Operation, Refusal};
use crate::consul::state::{Applied, Command, Deregistration, NodeUpdate, Registration};

const DENIED: &str = "Permission denied";
const NOT_FOUND: &str = "ACL not found";

/// What a request may do.
#[derive(Debug, Clone, Default)]
pub(in crate::consul) enum May {
    /// Everything: there are no ACLs.
    #[default]
    Everything,
    /// What its token may.
    Token(Rc<Authorizer>),
    /// Nothing: nobody has its token.
    Nothing,
}

/// A request that may not do what it asks for; the text is the body of a 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::consul) struct Denied(pub(in crate::consul) String);

impl From<Denied> for Failure {
    fn from(Denied(why): Denied) -> Self {
        Self::new(StatusCode::FORBIDDEN, why)
    }
}

impl From<Denied> for Applied {
    fn from(Denied(why): Denied) -> Self {
        Self::Denied(why)
    }
}

impl May {
    /// Whether it may.
    pub(in crate::consul) fn allows(&self, asked: impl FnOnce(&Authorizer) -> bool) -> bool {
        match self {
            Self::Everything => true,
            Self::Token(token) => asked(token),
            Self::Nothing => false,
        }
    }

    /// # Errors
    /// When nobody has its token.
    pub(in crate::consul) fn known(&self) -> Result<(), Denied> {
        match self {
            Self::Nothing => Err(Denied(NOT_FOUND.to_owned())),
            Self::Everything | Self::Token(_) => Ok(()),
        }
    }

    /// # Errors
    /// When it may not.
    pub(in crate::consul) fn need(&self, asked: impl FnOnce(&Authorizer) -> bool) -> Result<(), Denied> {
        self.known()?;
        match self.allows(asked) {
            true => Ok(()),
            false => Err(Denied(DENIED.to_owned())),
        }
    }

    /// The same where an agent says what is missing.
    fn need_of_agent(
        &self,
        kind: &str,
        name: &str,
        asked: impl FnOnce(&Authorizer) -> bool,
    ) -> Result<(), Denied> {
        self.known()?;
        match self.allows(asked) {
            true => Ok(()),
            false => Err(Denied(format!("{DENIED}: Missing {kind}:write on {name}"))),
        }
    }

    /// Whether it may read of an instance of a service.
    pub(super) fn reads(&self, service: &Service) -> bool {
        self.allows(|token| token.node_read(&service.node) && token.service_read(&service.name))
    }

    /// Whether it may read a check.
    pub(super) fn reads_check(&self, check: &Check) -> bool {
        let of_node = check.service_name.is_empty();
        self.allows(|token| {
            token.node_read(&check.node) && (of_node || token.service_read(&check.service_name))
        })
    }

    /// Whether it may see what an operation of a transaction brought.
    pub(super) fn sees(&self, done: &Done) -> bool {
        self.allows(|token| match done {
            Done::Wrote(_) => true,
            Done::Read(entry) => token.key_read(&entry.key),
            Done::Node(node) => token.node_read(&node.name),
            Done::Service(service) => token.service_read(&service.name),
            Done::Check(check) if check.service_name.is_empty() => token.node_read(&check.node),
            Done::Check(check) => token.service_read(&check.service_name),
        })
    }

    /// What of a transaction it may not do.
    pub(in crate::consul) fn refusals(&self, operations: &[Operation]) -> Vec<Refusal> {
        let denied = operations.iter().enumerate().filter(|(_, operation)| {
            !self.allows(|token| match operation {
                Operation::Kv(operation) => may_operate(token, operation),
                Operation::Node(verb, _) | Operation::Service(verb, _) | Operation::Check(verb, _)
                    if verb == "get" =>
                {
                    true
                }
                Operation::Node(_, node) => token.node_write(&node.name),
                Operation::Service(_, service) => token.service_write(&service.name),
                Operation::Check(_, check) if check.service_id.is_empty() => token.node_write(&check.node),
                Operation::Check(_, check) => token.service_write(&check.service_name),
            })
        });
        denied.map(|(operation, _)| Refusal { operation, why: DENIED.to_owned() }).collect()
    }
}

fn may_operate(token: &Authorizer, operation: &KvOperation) -> bool {
    let key = operation.key.as_str();
    match operation.verb.as_str() {
        // What is wrong with these is said first.
        verb if key.is_empty() && verb != "delete-tree" => true,
        "delete-tree" => token.key_write_prefix(key),
        "get" | "get-tree" => true,
        "check-session" | "check-index" => token.key_read(key),
        _ => token.key_write(key),
    }
}

impl Call<'_> {
    /// # Errors
    /// When it may not.
    pub(super) fn need(&self, asked: impl FnOnce(&Authorizer) -> bool) -> Result<(), Failure> {
        Ok(self.form.may.need(asked)?)
    }

    /// # Errors
    /// When it may not register a service, or replace the one that has its id.
    pub(super) fn may_register(&self, consul: &Consul, id: &str, name: &str) -> Result<(), Failure> {
        let existing = consul.agent.service(id).map(|existing| existing.name.as_str());
        for written in [Some(name), existing].into_iter().flatten() {
            self.form.may.need_of_agent("service", name, |token| token.service_write(written))?;
        }
        Ok(())
    }

    /// # Errors
    /// When it may not change a service of the agent, or ACLs are on and there is none.
    pub(super) fn may_change_service(&self, consul: &Consul, id: &str) -> Result<(), Failure> {
        if let May::Everything = self.form.may {
            return Ok(());
        }
        self.form.may.known()?;
        let service = consul.agent.service(id);
        let name =
            &service.ok_or_else(|| Failure::internal(format!("Unknown service {{{id:?} {{}}}}")))?.name;
        Ok(self.form.may.need_of_agent("service", name, |token| token.service_write(name))?)
    }

    /// # Errors
    /// When it may not write checks of this service, or of the node when there is none.
    pub(super) fn may_write_checks_of(&self, consul: &Consul, service: &str) -> Result<(), Failure> {
        let may = &self.form.may;
        if service.is_empty() {
            let node = &consul.config.node;
            return Ok(may.need_of_agent("node", node, |token| token.node_write(node))?);
        }
        Ok(may.need_of_agent("service", service, |token| token.service_write(service))?)
    }

    /// # Errors
    /// When it may not change a check of the agent, or ACLs are on and there is none.
    pub(super) fn may_change_check(&self, consul: &Consul, id: &str) -> Result<(), Failure> {
        if let May::Everything = self.form.may {
            return Ok(());
        }
        self.form.may.known()?;
        let check = consul.agent.check(id);
        let check = check.ok_or_else(|| Failure::internal(format!("Unknown check {id:?}")))?;
        self.may_write_checks_of(consul, &check.service_name)
    }
}

impl Consul {
    /// Whether a write may be made, of those that do not say so by themselves.
    ///
    /// # Errors
    /// What it comes to if not.
    pub(in crate::consul) fn vet(&self, command: &Command, may: &May) -> Result<(), Applied> {
        if let May::Everything = may {
            return Ok(());
        }
        may.known()?;
        match command {
            Command::Set(write)
            | Command::SetCas(write, _)
            | Command::Lock(write, _)
            | Command::Unlock(write, _) => may.need(|token| token.key_write(&write.key))?,
            Command::Delete(key) | Command::DeleteCas(key, _) => may.need(|token| token.key_write(key))?,
            Command::DeleteTree(prefix) => may.need(|token| token.key_write_prefix(prefix))?,
            Command::SessionCreate(_) | Command::Txn(_) | Command::Reap(_) => {}
            Command::SessionDestroy(id, _) => match self.state.sessions.find(id) {
                Ok(Some(session)) => may.need(|token| token.session_write(&session.node))?,
                Ok(None) => return Err(Applied::Failed(format!("Unknown session {id:?}"))),
                Err(why) => return Err(Applied::Failed(format!("Session lookup failed: {why}"))),
            },
            Command::Register(registration) => {
                vet_registration(self.state.catalogs.current(), registration, may)?;
            }
            Command::Deregister(gone) => vet_deregistration(self.state.catalogs.current(), gone, may)?,
            Command::Coordinates(coordinates) => {
                for coordinate in coordinates {
                    may.need(|token| token.node_write(&coordinate.node))?;
                }
            }
        }
        Ok(())
    }
}

fn vet_registration(catalog: &Catalog, registration: &Registration, may: &May) -> Result<(), Applied> {
    let Some(update) = &registration.node else { return Ok(()) };
    let node = &update.node.name;
    if changes(catalog.node(node).map(|known| &**known), update) {
        may.need(|token| token.node_write(node))?;
    }
    let known = |id: &str| catalog.service(node, id).map(|service| service.name.as_str());
    if let Some(service) = &registration.service {
        for name in [Some(service.name.as_str()), known(&service.id)].into_iter().flatten() {
            may.need(|token| token.service_write(name))?;
        }
    }
    for check in &registration.checks {
        if check.node != *node {
            return Err(Applied::Failed(format!(
                "Node '{}' for check '{}' doesn't match register request node '{node}'",
                check.node, check.id
            )));
        }
        let service = &check.service_id;
        if service.is_empty() {
            may.need(|token| token.node_write(node))?;
        } else if registration.service.as_ref().is_none_or(|own| own.id != *service) {
            let name = known(service).ok_or_else(|| {
                Applied::Failed(format!("Unknown service '{service}' for check '{}'", check.id))
            })?;
            may.need(|token| token.service_write(name))?;
        }
    }
    Ok(())
}

/// Whether a node would be another afterwards.
fn changes(known: Option<&Node>, update: &NodeUpdate) -> bool {
    let Some(known) = known else { return true };
    let node = &update.node;
    !update.only_if_missing
        && (known.id != node.id
            || !known.name.eq_ignore_ascii_case(&node.name)
            || known.address != node.address
            || known.datacenter != node.datacenter
            || known.tagged_addresses != node.tagged_addresses
            || known.meta != node.meta)
}

fn vet_deregistration(catalog: &Catalog, gone: &Deregistration, may: &May) -> Result<(), Applied> {
    let Deregistration { node, service, check } = gone;
    if may.allows(|token| token.node_write(node)) {
        return Ok(());
    }
    let unknown = |what: &str, id: &str| Applied::Failed(format!("Unknown {what} '{id}'"));
    let name = if !service.is_empty() {
        catalog.service(node, service).ok_or_else(|| unknown("service", service))?.name.as_str()
    } else if !check.is_empty() {
        catalog.check(node, check).ok_or_else(|| unknown("check", check))?.service_name.as_str()
    } else {
        ""
    };
    Ok(may.need(|token| !name.is_empty() && token.service_write(name))?)
}
