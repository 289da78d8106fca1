//! The real machine, with real processes and files.

use std::path::Path;

use super::*;
use crate::host::{Command, Exit, Process as _, run, within};

/// Long enough for any machine; reached only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

fn fly<F: Future>(test: impl FnOnce(LinuxHost) -> F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let host = LinuxHost::new(None).unwrap();
        let patient = host.clone();
        within(&patient, PATIENCE, test(host)).await.expect("too slow")
    })
}

fn shell(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

fn is_there(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

#[test]
fn a_process_ends_with_its_code_and_its_output() {
    fly(|host| async move {
        let exit = run(&host, &shell("echo out; echo err >&2; exit 3").capture(), None).await;
        let expected = Exit { code: Some(3), stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec() };
        assert_eq!(exit.unwrap(), expected);
        let killed = run(&host, &shell("kill -KILL $$"), None).await.unwrap();
        assert_eq!(killed, Exit::default());
        let error = host.spawn(&Command::new("no-such-program")).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_deadline_kills_the_group_and_leaves_no_zombie() {
    fly(|host| async move {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let script = format!("sleep 1000 & echo $! $$ > {}; wait", file.display());
        let limit = Some(Duration::from_millis(500));
        let error = run(&host, &shell(&script), limit).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let pids = String::from_utf8(host.read_file(&file).await.unwrap()).unwrap();
        let (child, leader) = pids.trim().split_once(' ').unwrap();
        assert!(!is_there(leader), "the leader is a zombie");
        // Its child is reaped by whoever inherits it, or remains a zombie where nobody does.
        while std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        {
            host.sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn dropping_the_handle_kills_and_reaps() {
    fly(|host| async move {
        let process = host.spawn(&shell("sleep 1000")).unwrap();
        let pid = process.pid().to_string();
        assert!(is_there(&pid));
        drop(process);
        while is_there(&pid) {
            host.sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn what_outlives_its_parent_in_the_group_dies_with_the_handle() {
    fly(|host| async move {
        let mut process = host.spawn(&shell("sleep 1000 & echo $!").capture()).unwrap();
        let exit = process.wait().await;
        let child = String::from_utf8(exit.stdout).unwrap();
        assert!(is_there(&child));
        assert_eq!(process.wait().await.code, Some(0), "after the end it completes at once");
        drop(process);
        let stat = format!("/proc/{}/stat", child.trim());
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            host.sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn files_are_replaced_whole_and_removed_with_their_folder() {
    fly(|host| async move {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        let file = deep.join("state");
        for content in ["old", "new"] {
            host.write_file(&file, content.into()).await.unwrap();
        }
        assert_eq!(host.read_file(&file).await.unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 1, "something temporary is left");
        host.remove(&deep).await.unwrap();
        host.remove(&deep).await.unwrap();
        assert!(!host.exists(&file).await);
    });
}

#[test]
fn streams_of_random_numbers_differ() {
    use rand::Rng as _;
    fly(|host| async move {
        let mut draws = ["a", "a", "b"].map(|purpose| host.random(purpose).next_u64());
        draws.sort_unstable();
        assert!(draws[0] != draws[1] && draws[1] != draws[2]);
    });
}
