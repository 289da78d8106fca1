//! The agent's command line: what it says about a configuration, and with what exit code.

use std::process::{Command, Output};

fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ironbird-agent")).args(arguments).output().unwrap()
}

#[test]
fn a_configuration_is_checked_without_being_flown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pilot.toml").display().to_string();
    for (config, code, out, err) in [
        ("[main]\ncommand = [\"true\"]\n", 0, format!("{file}: good\n"), String::new()),
        (
            "[main]\ncomand = [\"true\"]\n",
            2,
            String::new(),
            format!(
                "ironbird-agent: {file}:2: unknown field `comand`, expected `command` or `stop-timeout`; \
                 did you mean `command`?\n"
            ),
        ),
    ] {
        std::fs::write(&file, config).unwrap();
        for arguments in [["check", "--config", &file], ["--config", &file, "check"]] {
            let output = agent(&arguments);
            assert_eq!(output.status.code(), Some(code));
            assert_eq!(String::from_utf8_lossy(&output.stdout), out);
            assert_eq!(String::from_utf8_lossy(&output.stderr), err);
        }
    }
}

const ROLE: &str = r#"
consul = "127.0.0.1:1"
store = "127.0.0.1:1"
repl-user = "replicator"
repl-password = "secret"
app-user = "app"
app-password = "secret"
database = "app"
session-ttl = "60s"
lock-delay = "15s"
health-ttl = "25s"
snapshot-deadline = "1s"
"#;

#[test]
fn the_configuration_of_a_role_is_checked_with_the_pilots() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (pilot, role) = (path("pilot.toml"), path("mysql.toml"));
    std::fs::write(&pilot, "[main]\ncommand = [\"true\"]\n").unwrap();
    let check = |content: &str| {
        std::fs::write(&role, content).unwrap();
        let output = agent(&["check", "--config", &pilot, "--mysql", &role]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let good = |content: &str| assert_eq!(check(content), (Some(0), String::new()), "{content}");
    good(ROLE);
    good(&format!("{ROLE}copies = 1\ntakeover = \"wait\"\n"));
    good(&format!("{ROLE}takeover = \"5m\"\n"));
    for (content, complaint) in [
        (format!("{ROLE}copies = 3\n"), "copies = 3: a write is acknowledged on 1 or 2 instances"),
        (format!("{ROLE}takeover = \"never\"\n"), "`never` is neither \"wait\" nor a duration like \"135s\""),
        (format!("{ROLE}patience = \"5m\"\n"), "unknown field `patience`"),
        (ROLE.replace("\"app\"", "\"a'; DROP\""), "is empty or has a quote, separator or backslash in it"),
        (ROLE.replace("60s", "5s"), "session-ttl: Consul takes 10s to 24h"),
    ] {
        let (code, said) = check(&content);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.starts_with(&format!("ironbird-agent: {role}: ")) && said.contains(complaint), "{said}");
    }
    let nowhere = agent(&["check", "--config", &pilot, "--mysql", "/no/such/file"]);
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn an_instance_without_data_and_without_a_cluster_does_not_start_its_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (pilot, role, started) = (path("pilot.toml"), path("mysql.toml"), path("started"));
    std::fs::write(&pilot, format!("[main]\ncommand = [\"touch\", \"{started}\"]\n")).unwrap();
    std::fs::write(&role, ROLE).unwrap();
    let output = agent(&["--config", &pilot, "--mysql", &role]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no usable snapshot before the deadline"), "{said}");
    assert!(!std::path::Path::new(&started).exists());
}

#[test]
fn the_exit_code_is_the_main_processs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pilot.toml").display().to_string();
    for (config, code) in [
        ("[main]\ncommand = [\"sh\", \"-c\", \"exit 42\"]", 42),
        ("[main]\ncommand = [\"no-such-program\"]", 127),
        ("[main]\ncommand = [\"sh\", \"-c\", \"kill -KILL $$\"]", 137),
        ("[main]\ncommand = [\"true\"]\n[hooks]\npre-start = { command = [\"sh\", \"-c\", \"exit 9\"] }", 9),
        ("main = 1", 2),
    ] {
        std::fs::write(&file, config).unwrap();
        assert_eq!(agent(&["--config", &file]).status.code(), Some(code), "{config}");
    }
    assert_eq!(agent(&["--config", "/no/such/file"]).status.code(), Some(2));
    assert_eq!(agent(&[]).status.code(), Some(2));
}
