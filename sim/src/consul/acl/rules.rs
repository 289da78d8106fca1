//! The rules of a policy, and which of them speaks.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::hcl::{self, Entry};

/// What a rule grants, least first but for a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Deny,
    Read,
    List,
    Write,
}

impl Access {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "deny" => Some(Self::Deny),
            "read" => Some(Self::Read),
            "list" => Some(Self::List),
            "write" => Some(Self::Write),
            _ => None,
        }
    }

    /// Whether it is enough; a denial never is.
    pub(super) fn grants(self, needed: Self) -> bool {
        match self {
            Self::Deny => false,
            Self::Read => needed == Self::Read,
            Self::List => matches!(needed, Self::Read | Self::List),
            Self::Write => true,
        }
    }

    /// Of two rules for the same thing: a denial wins, then what grants more.
    fn stronger(self, other: Self) -> Self {
        let rank = |access| match access {
            Self::Deny => 3,
            Self::Write => 2,
            Self::List => 1,
            Self::Read => 0,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// The rules for one kind of thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    exact: BTreeMap<String, Access>,
    prefix: BTreeMap<String, Access>,
}

impl Names {
    /// What the most specific rule for a name grants: its own, else that of its longest prefix.
    pub(super) fn access(&self, name: &str) -> Option<Access> {
        self.exact.get(name).copied().or_else(|| self.longest_prefix(name))
    }

    /// What is granted for everything that begins so: the least that the rule for it and all within it
    /// grant, where less than to write is none.
    pub(super) fn access_of_all(&self, start: &str) -> Option<Access> {
        let base = self.longest_prefix(start);
        let within = [&self.exact, &self.prefix].into_iter().flat_map(|rules| {
            rules
                .range::<str, _>((Bound::Included(start), Bound::Unbounded))
                .take_while(|(name, _)| name.starts_with(start))
                .map(|(_, access)| *access)
        });
        let refused = base.into_iter().chain(within).any(|access| access != Access::Write);
        if refused { Some(Access::Deny) } else { base }
    }

    fn longest_prefix(&self, name: &str) -> Option<Access> {
        let ends = std::iter::once(name.len()).chain(name.char_indices().rev().map(|(at, _)| at));
        ends.filter_map(|end| self.prefix.get(&name[..end])).next().copied()
    }

    fn add(rules: &mut BTreeMap<String, Access>, name: &str, access: Access) {
        let known = rules.entry(name.to_owned()).or_insert(access);
        *known = known.stronger(access);
    }

    fn merge(&mut self, other: &Self) {
        other.exact.iter().for_each(|(name, access)| Self::add(&mut self.exact, name, *access));
        other.prefix.iter().for_each(|(name, access)| Self::add(&mut self.prefix, name, *access));
    }
}

/// All rules of a policy, or of several merged.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) agent: Names,
    pub(super) event: Names,
    pub(super) key: Names,
    pub(super) node: Names,
    pub(super) query: Names,
    pub(super) service: Names,
    pub(super) session: Names,
    pub(super) acl: Option<Access>,
    pub(super) keyring: Option<Access>,
    pub(super) operator: Option<Access>,
}

impl Rules {
    /// Reads rules as 1.4 and later write them; what is not a rule is left alone, as Consul does.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, false)
    }

    /// Reads rules as they were written before: every name is a prefix, and there is no `acl`.
    pub(super) fn parse_legacy(text: &str) -> Result<Self, String> {
        Self::read(text, true)
    }

    fn read(text: &str, legacy: bool) -> Result<Self, String> {
        let mut rules = Self::default();
        for Entry { kind, name, fields } in hcl::entries(text)? {
            let kind = kind.to_ascii_lowercase();
            if let Some(rule) = rules.single(&kind) {
                let text = fields.get("").map_or("", String::as_str);
                if legacy && kind == "acl" || text.is_empty() {
                    continue;
                }
                let access = Access::parse(text).filter(|access| *access != Access::List);
                *rule = Some(access.ok_or_else(|| format!("Invalid {kind} policy: {text:?}"))?);
                continue;
            }
            let (thing, prefix) = match kind.strip_suffix("_prefix") {
                Some(thing) if !legacy => (thing, true),
                Some(_) => continue,
                None => (kind.as_str(), legacy),
            };
            let Some(names) = rules.names(thing) else {
                continue;
            };
            let text = fields.get("policy").map_or("", String::as_str);
            let access = Access::parse(text).filter(|access| *access != Access::List || thing == "key");
            let access = access.ok_or_else(|| format!("Invalid {kind} policy: {text:?} for {name:?}"))?;
            if let Some(text) = fields.get("intentions").filter(|text| thing == "service" && !text.is_empty())
                && !matches!(Access::parse(text), Some(Access::Deny | Access::Read | Access::Write))
            {
                return Err(format!("Invalid {kind} intentions policy: {text:?} for {name:?}"));
            }
            Names::add(if prefix { &mut names.prefix } else { &mut names.exact }, &name, access);
        }
        Ok(rules)
    }

    fn single(&mut self, kind: &str) -> Option<&mut Option<Access>> {
        match kind {
            "acl" => Some(&mut self.acl),
            "keyring" => Some(&mut self.keyring),
            "operator" => Some(&mut self.operator),
            _ => None,
        }
    }

    fn names(&mut self, thing: &str) -> Option<&mut Names> {
        match thing {
            "agent" => Some(&mut self.agent),
            "event" => Some(&mut self.event),
            "key" => Some(&mut self.key),
            "node" => Some(&mut self.node),
            "query" => Some(&mut self.query),
            "service" => Some(&mut self.service),
            "session" => Some(&mut self.session),
            _ => None,
        }
    }

    /// What the policy `global-management` grants.
    pub(super) fn everything() -> Self {
        let mut rules = Self { acl: Some(Access::Write), ..Self::default() };
        rules.keyring = rules.acl;
        rules.operator = rules.acl;
        for thing in ["agent", "event", "key", "node", "query", "service", "session"] {
            if let Some(names) = rules.names(thing) {
                Names::add(&mut names.prefix, "", Access::Write);
            }
        }
        rules
    }

    /// What the token for emergencies grants on the agent that has it.
    pub(super) fn agent_master(node: &str) -> Self {
        let mut rules = Self::default();
        Names::add(&mut rules.agent.exact, node, Access::Write);
        Names::add(&mut rules.node.prefix, "", Access::Read);
        rules
    }

    /// Adds another policy's rules.
    pub(super) fn merge(&mut self, other: &Self) {
        self.agent.merge(&other.agent);
        self.event.merge(&other.event);
        self.key.merge(&other.key);
        self.node.merge(&other.node);
        self.query.merge(&other.query);
        self.service.merge(&other.service);
        self.session.merge(&other.session);
        for (mine, theirs) in [
            (&mut self.acl, other.acl),
            (&mut self.keyring, other.keyring),
            (&mut self.operator, other.operator),
        ] {
            *mine = match (*mine, theirs) {
                (Some(mine), Some(theirs)) => Some(mine.stronger(theirs)),
                (mine, theirs) => mine.or(theirs),
            };
        }
    }
}
