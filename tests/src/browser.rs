//! A real browser: Chromium without a window, driven over WebDriver.
//!
//! WebDriver is JSON over HTTP to a program on this machine, so a few lines of `std` are all it takes.
//! Where there is no `chromedriver` a test says so and passes, unless `IRONBIRD_REQUIRE_BROWSER=1`.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// What a browser has to be started with: it goes nowhere by itself.
const ARGUMENTS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Nobody reads on, and what it says fits into the pipe; but it must be able to write.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// A new browser, or nothing where there is no `chromedriver`.
    ///
    /// # Panics
    /// When there is one and it does not start, or when there must be one.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    pub fn start() -> Option<Self> {
        let command =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = command else {
            assert!(std::env::var_os("IRONBIRD_REQUIRE_BROWSER").is_none(), "no chromedriver on PATH");
            eprintln!("skipped: no chromedriver on PATH");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = lines
            .find_map(|line| {
                let line = line.expect("it speaks UTF-8");
                line.strip_suffix('.')?.rsplit_once("on port ")?.1.parse().ok()
            })
            .expect("it says its port");
        let mut browser = Self { driver, port, session: String::new(), _said: lines };
        let answer = browser.ask(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
                "goog:chromeOptions": { "args": ARGUMENTS },
                "goog:loggingPrefs": { "browser": "ALL" },
            } } }),
        );
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        Some(browser)
    }

    /// Opens the page in `file`, at `#fragment` if it is not empty, in a window of this size.
    pub fn open(&self, file: &Path, fragment: &str, size: (u32, u32)) {
        let hash = if fragment.is_empty() { String::new() } else { format!("#{fragment}") };
        self.go(&format!("file://{}{hash}", file.display()), size);
    }

    /// Opens the page at `url` in a window of this size.
    pub fn go(&self, url: &str, (width, height): (u32, u32)) {
        self.post("/window/rect", &json!({ "width": width, "height": height }));
        // A new fragment alone would not load the page anew.
        self.post("/url", &json!({ "url": "about:blank" }));
        self.post("/url", &json!({ "url": url }));
    }

    /// Whether pages are told that a person likes them dark.
    pub fn prefer_dark(&self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        self.post(
            "/goog/cdp/execute",
            &json!({ "cmd": "Emulation.setEmulatedMedia", "params": {
                "features": [{ "name": "prefers-color-scheme", "value": scheme }],
            } }),
        );
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        self.run_with(script, &[])
    }

    /// What a script with these `arguments` returns.
    pub fn run_with(&self, script: &str, arguments: &[Value]) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Presses keys, whatever has the focus.
    pub fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        self.post(
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }),
        );
    }

    /// What the page complained about since it was asked last.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        log.as_array()
            .expect("a list")
            .iter()
            .filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// What the window shows, as PNG in base 64.
    pub fn screenshot(&self) -> String {
        let path = format!("/session/{}/screenshot", self.session);
        self.ask("GET", &path, &Value::Null).as_str().expect("a picture").to_owned()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("the driver takes a request");
        // The driver may keep the connection whatever it is asked, so its length says where an answer ends.
        let mut input = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            input.read_line(&mut line).expect("the driver answers");
            let Some((name, value)) = line.trim_end().split_once(':') else {
                // The status at the start, or the blank line at the end.
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut json = vec![0; length];
        input.read_exact(&mut json).expect("the whole answer");
        let mut answer: Value = serde_json::from_slice(&json).expect("JSON");
        let value = answer["value"].take();
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            // A browser that is left behind is worse than a panic on top of a panic.
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.ask("DELETE", &path, &Value::Null)
            }))
            .ok();
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
