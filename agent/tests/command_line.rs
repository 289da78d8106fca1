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
