//! A smaller cluster, and less about it that is unusual.

use ironbird_sim::spec::Spec;
use toml::Value;

use super::size::unusual;
use super::{Candidate, Case};
use crate::format::as_table;

/// What the cluster and the world around it could be instead.
pub(super) fn candidates(case: &Case) -> Vec<Candidate> {
    let spec = &case.spec;
    let mut found = Vec::new();
    let mut change = |what: String, change: &dyn Fn(&mut Spec)| {
        let mut spec = spec.clone();
        change(&mut spec);
        found.push(Candidate { what, spec });
    };
    for count in 1..spec.cluster.instances {
        change(counted(count, "instance"), &|spec| spec.cluster.instances = count);
    }
    for count in [1, 3].into_iter().filter(|count| *count < spec.consul.servers) {
        change(counted(count, "server") + " of Consul", &|spec| spec.consul.servers = count);
    }
    for count in 0..spec.consul.agents {
        change(counted(count, "agent") + " of Consul", &|spec| spec.consul.agents = count);
    }
    for count in 0..spec.workload.clients {
        change(counted(count, "client"), &|spec| spec.workload.clients = count);
    }
    for (table, field, usual) in unusual(spec) {
        found.extend(as_usual(spec, &table, &field, usual));
    }
    found
}

/// `spec` with one field as it usually is.
fn as_usual(spec: &Spec, table: &str, field: &str, usual: Option<Value>) -> Option<Candidate> {
    let mut written = as_table(spec);
    let fields = written.get_mut(table)?.as_table_mut()?;
    match usual {
        Some(usual) => drop(fields.insert(field.to_owned(), usual)),
        None => drop(fields.remove(field)),
    }
    let spec: Spec = written.try_into().ok()?;
    Some(Candidate { what: format!("the usual {field} of {table}"), spec })
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
