//! The frame of every page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::text::is_treacherous;

/// What every page looks like.
const STYLE: &str = include_str!("assets/base.css");

/// What every page can do.
const SCRIPT: &str = concat!(include_str!("assets/dom.js"), include_str!("assets/format.js"));

/// The fixed parts of one kind of page.
pub(super) struct Frame {
    pub(super) style: &'static str,
    /// Modules, in the order in which they need each other.
    pub(super) script: &'static [&'static str],
    pub(super) body: &'static str,
}

impl Frame {
    /// A page with `data` in it.
    pub(super) fn page(&self, title: &str, data: &impl Serialize, plots: &[String]) -> String {
        let style = format!("{STYLE}{}", self.style);
        let script = format!("'use strict';\n(() => {{\n{SCRIPT}{}}})();\n", self.script.concat());
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
            digest(&style),
            digest(&script),
        );
        let plots: String =
            plots.iter().map(|plot| format!("<template class=\"plot\">{plot}</template>\n")).collect();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{}</title>\n<style>{style}</style>\n</head>\n<body>\n{}{plots}\
             <script type=\"application/json\" id=\"data\">{}</script>\n<script>{script}</script>\n</body>\n</html>\n",
            markup(title),
            self.body,
            embedded(data),
        )
    }
}

/// `text` as it stands between two tags.
fn markup(text: &str) -> String {
    crate::text::plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// How a policy names one of its page's own blocks.
fn digest(block: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(block.as_bytes())))
}

/// `data` as JSON that ends no block and hides nothing: what means something to a parser of HTML, or
/// changes how text reads, is escaped.
fn embedded(data: &impl Serialize) -> String {
    let json = serde_json::to_string(data).expect("strings, numbers and lists serialise");
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' => out += &format!("\\u{:04x}", u32::from(character)),
            _ if is_treacherous(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out += &format!("\\u{unit:04x}");
                }
            }
            _ => out.push(character),
        }
    }
    out
}
