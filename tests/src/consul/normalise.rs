//! What is replaced in an answer before it is compared, because two servers cannot share it.
//!
//! All of it, and nothing else:
//!
//! 1. A raft index (`X-Consul-Index`, `CreateIndex`, `ModifyIndex`, and one that an error text repeats) becomes
//!    `#none` for 0 and 1, `#past` when it is from before the play, and else its rank among all indexes
//!    that this side has shown in the play, out of how many: order is compared, size is not, since a real
//!    server takes indexes for its own affairs.
//! 2. The id of a session becomes `SESSION-n`, n being which one it was to be created; the node's own id
//!    becomes `NODE-ID`. Both are drawn at random.
//!    So is the id of an event that is fired, which becomes `EVENT`.
//!    Lists of sessions are in the order of their ids, and are put into that of their numbers.
//! 3. The hash of a service's definition becomes `HASH`: it is a fingerprint to compare, not to read.
//! 4. The tags in `/v1/catalog/services` are sorted: a real server lists them in another order each time.
//! 5. Of `/v1/agent/self` only `Config` and `Member` are compared; the rest describes a process.
//! 6. Four headers are left out: `Date`, and `Content-Length`, `Transfer-Encoding` and `Connection`, which
//!    are HTTP's and not Consul's. The order of headers means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Answer, Request, step};

/// Headers that are not compared.
const IGNORED: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

/// What comes before a raft index.
const MARKS: [&str; 8] = [
    "\nx-consul-index: ",
    "\"CreateIndex\":",
    "\"ModifyIndex\":",
    "\"CreateIndex\": ",
    "\"ModifyIndex\": ",
    "modify index ",
    "cas=",
    " != ",
];

/// What one of the two has shown in this play.
#[derive(Debug, Default)]
pub struct Side {
    node_id: String,
    keys: String,
    sessions: Vec<String>,
    last_index: String,
    floor: u64,
    indexes: BTreeSet<u64>,
}

/// An answer that can be compared.
#[derive(Debug)]
pub struct Seen {
    /// Its text.
    pub text: String,
    indexes: BTreeSet<u64>,
}

impl Side {
    /// The start of a play against a server that answered `/v1/agent/self` with `itself`, in which keys
    /// start with `keys` and indexes up to `floor` are past.
    ///
    /// # Panics
    /// When that is not how an agent describes itself.
    #[must_use]
    pub fn new(itself: &Answer, keys: &str, floor: u64) -> Self {
        let body: serde_json::Value = serde_json::from_str(&itself.body).expect("JSON of an agent");
        let node_id = body["Config"]["NodeID"].as_str().expect("a node's id").to_owned();
        Self { node_id, keys: keys.to_owned(), last_index: "1".to_owned(), floor, ..Self::default() }
    }

    /// The request with its blanks filled in. A session that was never created has an id nobody has.
    #[must_use]
    pub fn fill(&self, request: &Request) -> Request {
        request.map(|text| {
            let mut text = text.replace("{i}", &self.last_index).replace("{k}", &self.keys);
            while let Some(at) = text.find("{s") {
                let Some(end) = text[at..].find('}').map(|end| at + end) else {
                    break;
                };
                let number: usize = text[at + 2..end].parse().expect("the number of a session");
                let unknown = || format!("00000000-0000-0000-0000-{number:012}");
                let id = number.checked_sub(1).and_then(|at| self.sessions.get(at)).cloned();
                text.replace_range(at..=end, &id.unwrap_or_else(unknown));
            }
            step::repeat(&text)
        })
    }

    /// Takes note of what was shown.
    pub fn accept(&mut self, request: &Request, answer: &Answer, seen: Seen) {
        self.accept_indexes(seen);
        if let Some(index) = answer.header("x-consul-index") {
            index.clone_into(&mut self.last_index);
        }
        if request.path.starts_with("/v1/session/create")
            && let Some(id) = new_session(&answer.body)
        {
            self.sessions.push(id.to_owned());
        }
    }

    /// Takes note of the indexes that were shown.
    pub fn accept_indexes(&mut self, seen: Seen) {
        self.indexes = seen.indexes;
    }

    /// The answer as it is compared.
    #[must_use]
    pub fn normalise(&self, answer: &Answer) -> Seen {
        let mut text = format!("{}\n", answer.status);
        for (name, value) in &answer.headers {
            if !IGNORED.contains(&name.as_str()) {
                let _ = writeln!(text, "{name}: {value}");
            }
        }
        text.push('\n');
        text.push_str(&sorted_tags(&answer.body).unwrap_or_else(|| selected(&answer.body)));
        if let Some(hash) = answer.header("x-consul-contenthash") {
            text = text.replace(hash, "HASH");
        }
        text = text.replace(&self.node_id, "NODE-ID");
        for (number, session) in self.sessions.iter().enumerate() {
            text = text.replace(session, &format!("SESSION-{}", number + 1));
        }
        if let Some(id) = new_session(&answer.body) {
            text = text.replace(id, "SESSION");
        }
        if let Some(id) = new_event(&answer.body) {
            text = text.replace(id, "EVENT");
        }
        self.rank(&in_order(text))
    }

    fn rank(&self, text: &str) -> Seen {
        let mut indexes = self.indexes.clone();
        let mut pieces: Vec<Result<&str, u64>> = Vec::new();
        let mut rest = text;
        while let Some((at, end)) = next_index(rest) {
            if let Ok(index) = rest[at..end].parse() {
                if index > self.floor {
                    indexes.insert(index);
                }
                pieces.extend([Ok(&rest[..at]), Err(index)]);
            } else {
                pieces.push(Ok(&rest[..end]));
            }
            rest = &rest[end..];
        }
        pieces.push(Ok(rest));
        let mut ranked = String::with_capacity(text.len());
        for piece in pieces {
            match piece {
                Ok(text) => ranked.push_str(text),
                Err(0 | 1) => ranked.push_str("#none"),
                Err(index) if index <= self.floor => ranked.push_str("#past"),
                Err(index) => {
                    let _ = write!(ranked, "#{}/{}", indexes.range(..=index).count(), indexes.len());
                }
            }
        }
        Seen { text: ranked, indexes }
    }
}

/// Where the first raft index in `text` starts and ends.
fn next_index(text: &str) -> Option<(usize, usize)> {
    let at = MARKS
        .iter()
        .flat_map(|mark| {
            text.match_indices(mark).map(|(at, mark)| at + mark.len()).find(|at| digits(text, *at) > 0)
        })
        .min()?;
    Some((at, at + digits(text, at)))
}

fn digits(text: &str, at: usize) -> usize {
    text[at..].bytes().take_while(u8::is_ascii_digit).count()
}

/// The id in an answer that gives out a session.
fn new_session(body: &str) -> Option<&str> {
    let open = ["{\"ID\":\"", "{\n    \"ID\": \""];
    let id = open.iter().find_map(|open| body.strip_prefix(open))?;
    let id = id.trim_end().strip_suffix('}')?.trim_end().strip_suffix('"')?;
    (id.len() == 36).then_some(id)
}

/// The id in an answer that describes an event.
fn new_event(body: &str) -> Option<&str> {
    let open = ["{\"ID\":\"", "{\n    \"ID\": \""];
    let id = open.iter().find_map(|open| body.strip_prefix(open))?.get(..36)?;
    body.contains("\"NodeFilter\"").then_some(id)
}

/// Puts a list of sessions into the order of their numbers.
fn in_order(text: String) -> String {
    let compact = ("\n[", "{\"ID\":\"SESSION-", ",", "]");
    let pretty = ("\n[\n    ", "{\n        \"ID\": \"SESSION-", ",\n    ", "\n]\n");
    for (open, start, comma, close) in [compact, pretty] {
        let list = text.split_once(&format!("{open}{start}"));
        if let Some((head, list)) = list.and_then(|(head, list)| Some((head, list.strip_suffix(close)?))) {
            let comma = format!("{comma}{start}");
            let mut sessions: Vec<_> = list.split(comma.as_str()).collect();
            sessions.sort_by_key(|session| session[..digits(session, 0)].parse::<usize>().ok());
            return format!("{head}{open}{start}{}{close}", sessions.join(&comma));
        }
    }
    text
}

/// A list of services, if that is what it is, with their tags sorted.
fn sorted_tags(body: &str) -> Option<String> {
    if !body.starts_with('{') || !body.contains("\"consul\":") {
        return None;
    }
    let mut services: BTreeMap<String, Vec<String>> = serde_json::from_str(body).ok()?;
    services.values_mut().for_each(|tags| tags.sort());
    let shape = if body.contains('\n') { "pretty " } else { "" };
    Some(format!("{shape}{services:?}"))
}

/// Of an agent's long description of itself, what clients use.
fn selected(body: &str) -> String {
    if body.contains("\"DebugConfig\"")
        && let Ok(value) = serde_json::from_str::<serde_json::Value>(body)
        && value.get("DebugConfig").is_some()
    {
        return format!("{}\n{}", value["Config"], value["Member"]);
    }
    body.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side() -> Side {
        Side::new(&Answer::new(200, [], b"{\"Config\":{\"NodeID\":\"n-1\"}}"), "k1/", 45)
    }

    fn answer(body: &str) -> Answer {
        Answer::new(200, [("X-Consul-Index".to_owned(), "70".to_owned())], body.as_bytes())
    }

    #[test]
    fn indexes_become_their_ranks() {
        let mut side = side();
        let first = answer("{\"CreateIndex\":50,\"ModifyIndex\":60}");
        let seen = side.normalise(&first);
        assert_eq!(seen.text, "200\nx-consul-index: #3/3\n\n{\"CreateIndex\":#1/3,\"ModifyIndex\":#2/3}");
        side.accept(&Request::get("/"), &first, seen);
        let again = side.normalise(&answer("{\"CreateIndex\":55,\"ModifyIndex\":45}"));
        assert_eq!(again.text, "200\nx-consul-index: #4/4\n\n{\"CreateIndex\":#2/4,\"ModifyIndex\":#past}");
    }

    #[test]
    fn a_session_is_known_by_its_number() {
        let mut side = side();
        let id = "11111111-2222-3333-4444-555555555555";
        let created = answer(&format!("{{\"ID\":\"{id}\"}}"));
        let seen = side.normalise(&created);
        side.accept(&Request::new("PUT", "/v1/session/create", ""), &created, seen);
        let filled = side.fill(&Request::get("/v1/kv/{k}a?acquire={s1}&release={s2}&cas={i}"));
        let wanted = format!("/v1/kv/k1/a?acquire={id}&release=00000000-0000-0000-0000-000000000002&cas=70");
        assert_eq!(filled.path, wanted);
        assert!(side.normalise(&answer(id)).text.ends_with("\n\nSESSION-1"));
    }
}
