//! The processes this one started, and, as process 1, those it inherited.
//!
//! An ended child is first only *looked at* (`waitid` with `WNOWAIT`): its status is published and the
//! child stays a zombie until its handle is dropped. Only then is its group killed and the child reaped.
//! Its number, which is also its group's, cannot be given to a stranger before that, so a group kill
//! never hits one.
//!
//! The rule a change must keep: nothing here waits for "any child". Each child is waited for by its own
//! number, and the orphans that process 1 inherits are found in `/proc` as zombies that are children of
//! ours but not in the list; so reaping them can never take the exit status of one that is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::rc::{Rc, Weak};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{self, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getpid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::native;
use crate::host::{Command, Exit, Process, Signal};

/// How much of what a process prints is kept.
const CAPTURE_LIMIT: usize = 1 << 20;

/// How long after the end of a process what it printed is still read: a grandchild may hold the pipe.
const CAPTURE_WAIT: Duration = Duration::from_millis(500);

/// Orphans are looked for this long after a child ended, so that a burst of them costs one look.
const ORPHAN_PAUSE: Duration = Duration::from_millis(200);

/// All children that are not yet reaped.
pub(super) struct Children(RefCell<BTreeMap<i32, Rc<Child>>>);

struct Child {
    pid: Pid,
    exit: RefCell<Option<Exit>>,
    ended: Notify,
}

impl Children {
    /// Starts looking after children. As process 1, of orphans too.
    pub(super) fn new() -> io::Result<Rc<Self>> {
        let children = Rc::new(Self(RefCell::default()));
        let mut ended = signal(SignalKind::child())?;
        let weak = Rc::downgrade(&children);
        tokio::task::spawn_local(async move {
            while ended.recv().await.is_some() {
                let Some(children) = weak.upgrade() else { return };
                children.look();
            }
        });
        if getpid().as_raw() == 1 {
            tokio::task::spawn_local(reap_orphans(signal(SignalKind::child())?, Rc::downgrade(&children)));
        }
        Ok(children)
    }

    pub(super) fn spawn(self: &Rc<Self>, command: &Command) -> io::Result<LinuxProcess> {
        let mut native = std::process::Command::new(&command.program);
        native.args(&command.args).envs(&command.env).stdin(Stdio::null()).process_group(0);
        if command.capture {
            native.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut started = native.spawn()?;
        let pid = Pid::from_raw(i32::try_from(started.id()).map_err(io::Error::other)?);
        let child = Rc::new(Child { pid, exit: RefCell::default(), ended: Notify::new() });
        self.0.borrow_mut().insert(pid.as_raw(), Rc::clone(&child));
        // From here on dropping the handle kills and reaps it, whatever fails.
        let mut process = LinuxProcess {
            child,
            children: Rc::clone(self),
            stdout: Capture::default(),
            stderr: Capture::default(),
            detached: false,
        };
        if let Some(stdout) = started.stdout.take() {
            process.stdout = Capture::of(ChildStdout::from_std(stdout)?);
        }
        if let Some(stderr) = started.stderr.take() {
            process.stderr = Capture::of(ChildStderr::from_std(stderr)?);
        }
        Ok(process)
    }

    /// Publishes the end of children with a handle, and reaps those without.
    fn look(&self) {
        self.0.borrow_mut().retain(|_, child| {
            child.look();
            let abandoned = Rc::strong_count(child) == 1;
            !(abandoned && child.reap())
        });
    }
}

impl Child {
    /// Sees whether it has ended, without reaping it.
    fn look(&self) {
        if self.exit.borrow().is_some() {
            return;
        }
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let exit = match waitid(Id::Pid(self.pid), flags) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => return,
            Ok(WaitStatus::Exited(_, code)) => Exit::code(code),
            // A signal, known to the library or not; or a status somebody else took.
            Ok(_) | Err(_) => Exit::default(),
        };
        self.exit.replace(Some(exit));
        self.ended.notify_waiters();
    }

    /// Reaps it if it has ended. Whether there is nothing left to reap.
    fn reap(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        !matches!(waitid(Id::Pid(self.pid), flags), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    }
}

/// A process started by this one.
pub struct LinuxProcess {
    child: Rc<Child>,
    children: Rc<Children>,
    stdout: Capture,
    stderr: Capture,
    detached: bool,
}

impl Process for LinuxProcess {
    fn pid(&self) -> u32 {
        self.child.pid.as_raw().unsigned_abs()
    }

    async fn wait(&mut self) -> Exit {
        loop {
            let ended = self.child.ended.notified();
            self.child.look();
            let exit = self.child.exit.borrow().clone();
            if let Some(mut exit) = exit {
                exit.stdout = self.stdout.finish().await;
                exit.stderr = self.stderr.finish().await;
                return exit;
            }
            ended.await;
        }
    }

    fn signal(&self, signal: Signal) {
        // Gone already is as good as signalled.
        let _ = killpg(self.child.pid, native(signal));
    }

    fn detach(mut self) {
        self.detached = true;
    }
}

impl Drop for LinuxProcess {
    fn drop(&mut self) {
        if self.detached {
            // Reaped like any child without a handle, once it has ended.
            return;
        }
        let _ = killpg(self.child.pid, signal::Signal::SIGKILL);
        if self.child.reap() {
            self.children.0.borrow_mut().remove(&self.child.pid.as_raw());
        }
        // Otherwise it is dying, and reaped at the signal that says so.
    }
}

/// What a process prints, read as it comes.
#[derive(Default)]
struct Capture {
    text: Rc<RefCell<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Capture {
    fn of(mut pipe: impl AsyncRead + Unpin + 'static) -> Self {
        let text = Rc::new(RefCell::new(Vec::new()));
        let collected = Rc::clone(&text);
        let reader = tokio::task::spawn_local(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
                let mut text = collected.borrow_mut();
                // Read on beyond the limit: a full pipe would stop the process.
                let room = CAPTURE_LIMIT.saturating_sub(text.len());
                text.extend_from_slice(&buffer[..count.min(room)]);
            }
        });
        Self { text, reader: Some(reader) }
    }

    async fn finish(&mut self) -> Vec<u8> {
        // Left in place until then: this wait may be cancelled and begun again.
        if let Some(reader) = &mut self.reader {
            if tokio::time::timeout(CAPTURE_WAIT, &mut *reader).await.is_err() {
                reader.abort();
            }
            self.reader = None;
        }
        self.text.borrow().clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

async fn reap_orphans(mut ended: tokio::signal::unix::Signal, children: Weak<Children>) {
    while ended.recv().await.is_some() {
        tokio::time::sleep(ORPHAN_PAUSE).await;
        let Some(children) = children.upgrade() else {
            return;
        };
        for pid in zombies_of(getpid()) {
            if !children.0.borrow().contains_key(&pid) {
                let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
                let _ = waitid(Id::Pid(Pid::from_raw(pid)), flags);
            }
        }
    }
}

/// The zombies among the children of `parent`.
fn zombies_of(parent: Pid) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            is_zombie_of(&stat, parent).then_some(pid)
        })
        .collect()
}

/// Reads one line of `/proc/<pid>/stat`: number, name in brackets, state, parent. The name may itself
/// hold brackets and spaces, so what follows the last bracket counts.
fn is_zombie_of(stat: &str, parent: Pid) -> bool {
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = rest.split_ascii_whitespace();
    fields.next() == Some("Z") && fields.next().and_then(|field| field.parse().ok()) == Some(parent.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zombies_are_told_by_state_and_parent_whatever_their_name() {
        for (stat, expected) in [
            ("12 (sh) Z 7 12 12 0", true),
            ("12 (a) S 7 (b) Z 7 12 12 0", true),
            ("12 (sh) S 7 12 12 0", false),
            ("12 (sh) Z 8 12 12 0", false),
            ("", false),
        ] {
            assert_eq!(is_zombie_of(stat, Pid::from_raw(7)), expected, "{stat}");
        }
    }
}
