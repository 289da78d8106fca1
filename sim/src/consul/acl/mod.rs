//! What a token may do: `acl { enabled = true }` with tokens and policies given by configuration.
//!
//! [`Acl`] is made once and never changes: every token's policies are merged into an [`Authorizer`] that
//! answers by the most specific rule, or by the default policy when no rule speaks. The rule a change must
//! keep: this module decides and never answers; what a denial looks like is its endpoint's to say, as
//! below. `tests/consul_acl.txt` holds what a real 1.8.7 server said to each.
//!
//! Whatever the endpoint, a token nobody knows is 403 `ACL not found`, even where no right is needed to
//! read a list; but 500 with that text for `event/fire`, and `status/*`, `catalog/datacenters`,
//! `coordinate/datacenters` and `acl/replication` look at no token at all. A body that cannot be read is
//! said to be so first.
//!
//! | endpoint | right | without it |
//! |---|---|---|
//! | `GET kv/k`, `PUT kv/k`, `DELETE kv/k` | `key_read`, `key_write` of k | 403 `Permission denied` |
//! | `GET kv/p?recurse` | `key_read` of each | left out; 404 when none is left |
//! | `GET kv/p?keys` | `key_read` of each | left out; 404 when none is left, but `[]` of the root |
//! | `DELETE kv/p?recurse` | `key_write_prefix` of p | 403 `Permission denied` |
//! | `PUT txn` | as each operation | 409, `What` is `Permission denied`, checks too; only what `get` and `get-tree` read is left out |
//! | `session/create`, `session/destroy` | `session_write` of its node | 403 `Permission denied` |
//! | `session/renew` | `session_write` of its node | 403 `Permission denied` |
//! | `session/info`, `session/list`, `session/node` | `session_read` of the node | left out, `[]` |
//! | `agent/service/register` | `service_write` of the name, and of the one it replaces | 403 `Permission denied: Missing service:write on web` |
//! | `agent/check/register` | `service_write` of its service, `node_write` when it has none that is known | 403 `Permission denied: Missing node:write on golden` |
//! | `agent/service/deregister` | `service_write` | as registering; unknown: 500 `Unknown service {"web" {}}` |
//! | `agent/check/*`, `agent/check/deregister` | as registering | as registering; unknown: 500 `Unknown check "c"` |
//! | `agent/service/maintenance` | `service_write` | as registering; unknown: 500 `Unknown service {"web" {}}` |
//! | `agent/maintenance` | `node_write` of this node | 403 `Permission denied` |
//! | `agent/self`, `agent/metrics` | `agent_read` of this node | 403 `Permission denied` |
//! | `agent/leave`, `agent/join`, `agent/reload` | `agent_write` of this node | 403 `Permission denied` |
//! | `agent/force-leave` | `operator_write` | 403 `Permission denied` |
//! | `agent/members` | `node_read` of each | left out, `[]` |
//! | `agent/services`, `agent/checks` | `service_read` of each; `node_read` for the node's checks | left out, `{}` |
//! | `agent/service/id`, `agent/health/service/*` | `service_read` | 403 `Permission denied`; an unknown id is 404 first, an unknown name is not |
//! | `catalog/register` | `node_write` if it changes the node, `service_write` | 403 `Permission denied` |
//! | `catalog/deregister` | `service_write`, or `node_write` | 403 `Permission denied`; unknown: 500 `Unknown service 'web'` |
//! | `catalog/*`, `health/*`, `coordinate/nodes` | `node_read` and `service_read` of each | left out; `catalog/node/n` is `null` |
//! | `coordinate/node/n` | `node_read` | 403 `Permission denied` |
//! | `event/fire` | `event_write` | 403 `Permission denied` |
//! | `event/list` | `event_read` of each | left out, `[]` |
//! | `operator/raft/*`, `operator/autopilot/*` | `operator_read`, `operator_write` | 403 `Permission denied` |
//! | `operator/keyring` | `keyring_read` | 500 `Reading keyring denied by ACLs` |
//! | `acl/*` | `acl_read`, `acl_write` | 403 `Permission denied` |
//! | `acl/*` with ACLs off | | 401 `ACL support disabled`, once the method is right |

mod hcl;
mod rules;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;

use self::rules::{Access, Rules};

/// The secret of the token of those who bring none.
const ANONYMOUS: &str = "anonymous";

/// What a server started with `acl { enabled = true }` is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclConfig {
    /// What is so where no rule speaks.
    #[serde(default)]
    pub default_policy: DefaultPolicy,
    /// The secrets a server knows by their use.
    #[serde(default)]
    pub tokens: AgentTokens,
    /// Rules by the name of the policy, in HCL or JSON.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
    /// Further tokens, by secret; the one called `anonymous` is for those who bring none.
    #[serde(default)]
    pub token: BTreeMap<String, TokenConfig>,
}

/// What is so where no rule speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultPolicy {
    /// Everything is allowed, save to read and write ACLs.
    #[default]
    Allow,
    /// Nothing is allowed.
    Deny,
}

/// The secrets of an agent's `acl.tokens`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentTokens {
    /// May do everything.
    pub master: Option<String>,
    /// May do everything to this agent, and read every node.
    pub agent_master: Option<String>,
    /// What the agent itself uses. What it does is never denied here.
    pub agent: Option<String>,
    /// What requests without a token use.
    pub default: Option<String>,
}

/// What a token is made of.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// Names of policies.
    pub policies: Vec<String>,
    /// Rules of its own in the syntax of before 1.4, where every rule is for a prefix.
    pub legacy_rules: Option<String>,
}

/// Nobody has this token: 403 `ACL not found`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consul) struct NotFound;

/// Every token and what it may do.
#[derive(Debug)]
pub(in crate::consul) struct Acl {
    tokens: BTreeMap<String, Rc<Authorizer>>,
    default: Option<String>,
    default_policy: DefaultPolicy,
    /// The agent's own master token, which no server has to know.
    agent_master: Option<String>,
    /// Whether the servers know no tokens.
    revoked: bool,
    /// What an agent remembers of tokens, and since when.
    remembered: BTreeMap<String, (Duration, Result<Rc<Authorizer>, NotFound>)>,
}

impl Acl {
    /// Reads a configuration for the agent on `node`.
    ///
    /// # Errors
    /// When rules cannot be read, or a token names a policy there is none of.
    pub(in crate::consul) fn new(config: &AclConfig, node: &str) -> Result<Self, String> {
        let policies = config
            .policies
            .iter()
            .map(|(name, text)| match Rules::parse(text) {
                Ok(rules) => Ok((name.as_str(), rules)),
                Err(why) => Err(format!("policy {name:?}: {why}")),
            })
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        let default = config.default_policy;
        let mut tokens = BTreeMap::from([(ANONYMOUS.to_owned(), Authorizer::new(Rules::default(), default))]);
        for (secret, token) in &config.token {
            let mut rules = Rules::default();
            for name in &token.policies {
                let policy =
                    policies.get(name.as_str()).ok_or_else(|| format!("no policy is called {name:?}"))?;
                rules.merge(policy);
            }
            if let Some(text) = &token.legacy_rules {
                rules.merge(&Rules::parse_legacy(text).map_err(|why| format!("a token's rules: {why}"))?);
            }
            tokens.insert(secret.clone(), Authorizer::new(rules, default));
        }
        let AgentTokens { master, agent_master, agent: _, default: unnamed } = &config.tokens;
        if let Some(secret) = agent_master {
            tokens.insert(secret.clone(), Authorizer::new(Rules::agent_master(node), default));
        }
        if let Some(secret) = master {
            tokens.insert(secret.clone(), Authorizer::new(Rules::everything(), default));
        }
        let named = |secret: &Option<String>| secret.clone().filter(|secret| !secret.is_empty());
        Ok(Self {
            tokens,
            default: named(unnamed),
            default_policy: default,
            agent_master: agent_master.clone(),
            revoked: false,
            remembered: BTreeMap::new(),
        })
    }

    /// Lets nobody have a token, but for the anonymous one and the agent's own; or gives them back.
    pub(in crate::consul) fn revoke(&mut self, revoked: bool) {
        self.revoked = revoked;
    }

    /// What the bearer of a token may do as an agent knows it that asks its servers, and for `ttl` not again.
    ///
    /// # Errors
    /// When nobody had that token when it asked.
    pub(in crate::consul) fn recall(
        &mut self,
        token: Option<&str>,
        now: Duration,
        ttl: Duration,
    ) -> Result<Rc<Authorizer>, NotFound> {
        let secret = self.secret(token).to_owned();
        if let Some((since, known)) = self.remembered.get(&secret)
            && now.saturating_sub(*since) <= ttl
        {
            return known.clone();
        }
        let known = self.resolve(token).map(Rc::clone);
        self.remembered.insert(secret, (now, known.clone()));
        known
    }

    fn secret<'a>(&'a self, token: Option<&'a str>) -> &'a str {
        let given = token.filter(|token| !token.is_empty());
        given.or(self.default.as_deref()).unwrap_or(ANONYMOUS)
    }

    /// What the bearer of a token may do; without one, or with an empty one, the agent's default token
    /// speaks, or the anonymous one.
    ///
    /// # Errors
    /// When nobody has that token.
    pub(in crate::consul) fn resolve(&self, token: Option<&str>) -> Result<&Rc<Authorizer>, NotFound> {
        let secret = self.secret(token);
        let stays = secret == ANONYMOUS || self.agent_master.as_deref() == Some(secret);
        self.tokens.get(secret).filter(|_| stays || !self.revoked).ok_or(NotFound)
    }

    /// The token the agent uses for those that bring none.
    pub(in crate::consul) fn default_token(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// Sets a token of the agent's own: `default`, `agent`, `agent_master` or `replication`, or what they
    /// were called before. Says whether there is one of that name.
    ///
    /// The agent's own token and the one for replication change nothing here: what an agent tells its
    /// servers is never denied.
    pub(in crate::consul) fn set(&mut self, name: &str, secret: &str, node: &str) -> bool {
        match name {
            "default" | "acl_token" => self.default = Some(secret.to_owned()).filter(|it| !it.is_empty()),
            "agent_master" | "acl_agent_master_token" => {
                let rules = Authorizer::new(Rules::agent_master(node), self.default_policy);
                self.tokens.insert(secret.to_owned(), rules);
                self.agent_master = Some(secret.to_owned());
            }
            "agent" | "acl_agent_token" | "replication" | "acl_replication_token" => {}
            _ => return false,
        }
        true
    }
}

/// What one token may do.
#[derive(Debug)]
pub(in crate::consul) struct Authorizer {
    rules: Rules,
    otherwise: bool,
}

/// Asks the rules for one kind of thing by name.
macro_rules! by_name {
    ($($(#[$docs:meta])* $name:ident($rules:ident, $needed:ident);)*) => {
        $($(#[$docs])*
        pub(in crate::consul) fn $name(&self, name: &str) -> bool {
            self.allows(self.rules.$rules.access(name), Access::$needed)
        })*
    };
}

/// Asks the one rule there is.
macro_rules! at_all {
    ($($(#[$docs:meta])* $name:ident($rule:ident, $needed:ident, $otherwise:expr);)*) => {
        $($(#[$docs])*
        pub(in crate::consul) fn $name(&self) -> bool {
            let otherwise: fn(&Self) -> bool = $otherwise;
            self.rules.$rule.map_or_else(|| otherwise(self), |access| access.grants(Access::$needed))
        })*
    };
}

impl Authorizer {
    fn new(rules: Rules, default: DefaultPolicy) -> Rc<Self> {
        Rc::new(Self { rules, otherwise: default == DefaultPolicy::Allow })
    }

    fn allows(&self, rule: Option<Access>, needed: Access) -> bool {
        rule.map_or(self.otherwise, |access| access.grants(needed))
    }

    by_name! {
        /// Whether a key may be read.
        key_read(key, Read);
        /// Whether keys under a prefix may be listed; asked only with `enable_key_list_policy`.
        #[cfg(test)]
        key_list(key, List);
        /// Whether a key may be written.
        key_write(key, Write);
        /// Whether a service may be found.
        service_read(service, Read);
        /// Whether a service may be registered.
        service_write(service, Write);
        /// Whether a node may be found.
        node_read(node, Read);
        /// Whether a node may be registered.
        node_write(node, Write);
        /// Whether a node's sessions may be read.
        session_read(session, Read);
        /// Whether sessions of a node may be made, renewed and destroyed.
        session_write(session, Write);
        /// Whether the agent of a node may be asked about itself.
        agent_read(agent, Read);
        /// Whether the agent of a node may be told what to do.
        agent_write(agent, Write);
        /// Whether events of a name may be read.
        event_read(event, Read);
        /// Whether events of a name may be fired.
        event_write(event, Write);
    }

    // Nothing that the last of these are for is simulated: they are here for what their rules mean.
    at_all! {
        /// Whether what operators read may be read.
        operator_read(operator, Read, |this| this.otherwise);
        /// Whether what operators change may be changed.
        operator_write(operator, Write, |this| this.otherwise);
        /// Whether the keyring may be read.
        #[cfg(test)]
        keyring_read(keyring, Read, |this| this.otherwise);
        /// Whether tokens and policies may be read. No default policy allows it.
        #[cfg(test)]
        acl_read(acl, Read, |_| false);
        /// Whether tokens and policies may be written, and snapshots taken. No default policy allows it.
        #[cfg(test)]
        acl_write(acl, Write, |_| false);
    }

    /// Whether everything under a prefix may be deleted: it may be written, and no rule within it says
    /// less.
    pub(in crate::consul) fn key_write_prefix(&self, prefix: &str) -> bool {
        self.allows(self.rules.key.access_of_all(prefix), Access::Write)
    }
}

/// The token a request carries: its first `token` parameter, else `X-Consul-Token`, else the first word
/// after `Authorization: Bearer`; what is empty does not count.
pub(in crate::consul) fn token_of<'a>(query: Option<&'a str>, headers: &'a HeaderMap) -> Option<&'a str> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    query
        .filter(|token| !token.is_empty())
        .or_else(|| header("x-consul-token").map(str::trim).filter(|token| !token.is_empty()))
        .or_else(|| {
            let mut words = header("authorization")?.trim().split(' ').map(str::trim);
            let scheme = words.next()?;
            scheme.eq_ignore_ascii_case("bearer").then(|| words.find(|word| !word.is_empty()))?
        })
}
