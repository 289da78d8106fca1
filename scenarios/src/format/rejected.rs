//! What is wrong with a file, and showing where.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// A file that is no sound scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// The file, as the user would name it.
    pub file: String,
    /// Its text; empty when it could not be read.
    pub source: String,
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// What, in a sentence without a full stop.
    pub message: String,
    /// Where; `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// What would be right.
    pub help: Option<String>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In bytes.
    pub span: Range<usize>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

impl Rejected {
    /// A file that is wrong as a whole.
    pub fn whole(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            source: String::new(),
            diagnostics: vec![Diagnostic { message: message.into(), place: None, help: None }],
        }
    }

    /// The complaints with the lines they are about.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        // Width is fixed so that the same file reads the same in a log and on a terminal.
        let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(120);
        let mut text = String::new();
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            let message = visible(&diagnostic.message);
            let title = Level::ERROR.primary_title(message);
            let group = match &diagnostic.place {
                Some(place) => title.element(
                    Snippet::source(self.source.as_str())
                        .path(visible(&self.file))
                        .annotation(AnnotationKind::Primary.span(place.span.clone())),
                ),
                None => title.element(Origin::path(visible(&self.file))),
            };
            let group = match &diagnostic.help {
                Some(help) => group.element(Level::HELP.message(visible(help))),
                None => group,
            };
            let report: &[Group<'_>] = &[group];
            text += &renderer.render(report);
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Rejected {}

/// The line and column of a byte offset. Offsets inside a character count as its first byte.
pub(super) fn place(source: &str, span: Range<usize>) -> Place {
    let start = floor(source, span.start);
    let end = floor(source, span.end.max(start));
    let before = source.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        span: start..end,
    }
}

fn floor(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// `text` with its control characters spelled out: a file or a path must not steer the terminal.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control() && c != '\n';
            let (plain, escaped) = if escape { (None, Some(c.escape_default())) } else { (Some(c), None) };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}
