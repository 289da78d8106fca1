//! The source's side of replication: sends a replica what it lacks, then whatever is committed.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ironbird_agent::host::Host;
use ironbird_agent::mysql::{Gtid, GtidSet};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

use super::server::{Server, State};
use super::session::answer;

/// How often a source with nothing to send says so.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a replica adds to its request when it is going to acknowledge.
pub(super) const SEMI_SYNC: &str = "semi-sync";

/// A replica's request: `UUID TAB set`, and `TAB semi-sync` if it is going to acknowledge.
pub(super) struct Request {
    /// Its UUID.
    replica: String,
    /// What it has.
    has: GtidSet,
    /// Whether it is going to acknowledge.
    acknowledges: bool,
}

impl Request {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('\t');
        let (replica, has) = (fields.next()?, fields.next()?);
        let acknowledges = match fields.next() {
            None => false,
            Some(SEMI_SYNC) => true,
            Some(_) => return None,
        };
        Some(Self { replica: replica.to_owned(), has: has.parse().ok()?, acknowledges })
    }
}

/// Why a source cannot serve a replica that has this much.
fn refusal(state: &State, has: &GtidSet) -> Option<&'static str> {
    if !has.includes(&state.purged) {
        return Some(
            "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but the master has purged \
             binary logs containing GTIDs that the slave requires.",
        );
    }
    if has.last(&state.uuid) > state.executed.last(&state.uuid) {
        return Some(
            "Slave has more GTIDs than the master has, using the master's SERVER_UUID. This may indicate that the \
             end of the binary log was truncated or that the last binary log file was lost.",
        );
    }
    None
}

/// Forgets how far a replica has read when its connection ends.
struct Reading<'a> {
    server: &'a Server,
    number: u64,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.server.state.borrow_mut().dumps.remove(&self.number);
    }
}

/// Sends everything the replica lacks, then whatever is committed, until one of the two goes away.
pub(super) async fn dump(
    server: &Rc<Server>,
    lines: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    Request { replica, has, acknowledges }: Request,
) -> io::Result<()> {
    let refused = refusal(&server.state.borrow(), &has);
    if let Some(text) = refused {
        return answer(writer, &Err((1236, text.to_owned()))).await;
    }
    let number = server.begin_dump(&mut server.state.borrow_mut());
    let _reading = Reading { server, number };
    answer(writer, &Ok(Vec::new())).await?;
    if acknowledges {
        acknowledge_skipped(server, &replica, &has);
    }
    let mut line = Vec::new();
    loop {
        let changed = server.changed.notified();
        let text = unsent(&mut server.state.borrow_mut(), number, &has);
        if !text.is_empty() {
            writer.write_all(text.as_bytes()).await?;
            continue;
        }
        tokio::select! {
            biased;
            // Cancel-safe: what was read of a line stays in `line` for the next turn.
            read = lines.read_until(b'\n', &mut line) => {
                if read? == 0 {
                    return Ok(());
                }
                acknowledge(server, &replica, String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
            () = changed => {}
            () = server.host.sleep(HEARTBEAT) => writer.write_all(b"HEARTBEAT\n").await?,
        }
    }
}

/// What this connection has not sent yet and the replica lacks.
fn unsent(state: &mut State, number: u64, has: &GtidSet) -> String {
    let mut text = String::new();
    let sent = state.dumps.get(&number).copied().unwrap_or_default();
    let skip = usize::try_from(sent.saturating_sub(state.first)).unwrap_or(usize::MAX);
    for transaction in state.log.iter().skip(skip) {
        if !has.contains(&transaction.gtid) {
            text.push_str(&transaction.to_line());
            text.push('\n');
        }
    }
    let end = state.end();
    state.dumps.insert(number, end);
    text
}

/// What need not be sent to a replica is as good as acknowledged by it, up to the first it lacks.
fn acknowledge_skipped(server: &Server, replica: &str, has: &GtidSet) {
    let mut state = server.state.borrow_mut();
    let log = state.log.iter().map(|transaction| &transaction.gtid);
    if let Some(number) = skipped(log, &state.uuid, has) {
        state.semi_sync.acknowledge(replica, number);
        server.changed.notify_waiters();
    }
}

/// The last of the own transactions in a log, from its first on, that a replica has without a hole.
fn skipped<'a>(log: impl Iterator<Item = &'a Gtid>, own: &str, has: &GtidSet) -> Option<u64> {
    log.filter(|gtid| gtid.server == own).take_while(|gtid| has.contains(gtid)).last().map(|gtid| gtid.number)
}

fn acknowledge(server: &Server, replica: &str, line: &str) {
    let Some(gtid) = line.strip_prefix("ACK\t").and_then(|gtid| gtid.parse::<Gtid>().ok()) else {
        return;
    };
    let mut state = server.state.borrow_mut();
    if gtid.server == state.uuid {
        state.semi_sync.acknowledge(replica, gtid.number);
        server.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use ironbird_agent::mysql::{Gtid, GtidSet};

    use super::{Request, skipped};

    #[test]
    fn what_a_replica_has_of_the_own_transactions_is_skipped_up_to_the_first_it_lacks() {
        let log: Vec<Gtid> =
            ["a:3", "b:1", "a:4", "b:2", "a:5", "a:6"].map(|gtid| gtid.parse().unwrap()).into();
        for (has, last) in [
            ("", None),
            // All that it has is purged.
            ("a:1-2", None),
            ("a:1-3", Some(3)),
            ("a:1-4", Some(4)),
            // There is a hole.
            ("a:1-4:6", Some(4)),
            ("a:1-6,b:1-2", Some(6)),
            // Those of another server are another matter.
            ("b:1-2", None),
        ] {
            let has: GtidSet = has.parse().unwrap();
            assert_eq!(skipped(log.iter(), "a", &has), last, "{has}");
        }
        assert_eq!(skipped([].iter(), "a", &"a:1-6".parse().unwrap()), None);
    }

    #[test]
    fn a_request_says_whether_its_replica_acknowledges() {
        let acknowledges = |text| Request::parse(text).map(|request| request.acknowledges);
        assert_eq!(acknowledges("r\ta:1-2"), Some(false));
        assert_eq!(acknowledges("r\ta:1-2\tsemi-sync"), Some(true));
        assert_eq!(acknowledges("r\ta:1-2\tsemi"), None);
        assert_eq!(acknowledges("r"), None);
    }
}
