//! What a person sees while a sweep goes on: a bar on a terminal, and a line for every variant that is done.

use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use ironbird_reports::suite::VariantReport;

use super::Console;
use crate::runner::Progress;

/// Shows the progress of sweeps on standard error.
pub(super) struct Display<'c, W> {
    bar: ProgressBar,
    lines: Mutex<&'c mut W>,
    color: bool,
    unexpected: AtomicU64,
}

/// A display on `console`'s standard error.
pub(super) fn display<'c>(console: &'c mut Console<'_>) -> Display<'c, impl Write + Send> {
    let bar = if console.err_is_terminal {
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10))
    } else {
        ProgressBar::hidden()
    };
    // The template is a constant; were it wrong, the default bar would do.
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len}  {rate}  {msg}  {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // Nobody is told if the bar cannot be drawn.
            write!(out, "{:.0} runs/s", state.per_sec()).ok();
        });
    let color = console.color_err;
    Display {
        bar: bar.with_style(style),
        color,
        unexpected: AtomicU64::new(0),
        lines: Mutex::new(console.err()),
    }
}

impl<W: Write + Send> Display<'_, W> {
    pub(super) fn show(&self, progress: &Progress<'_>) {
        match progress {
            Progress::Started { name, runs } => {
                self.unexpected.store(0, Ordering::Relaxed);
                self.bar.reset();
                self.bar.set_length(*runs);
                self.bar.set_prefix((*name).to_owned());
                self.bar.set_message("");
            }
            Progress::Ran { as_expected } => {
                self.bar.inc(1);
                if !as_expected {
                    let count = self.unexpected.fetch_add(1, Ordering::Relaxed) + 1;
                    self.bar.set_message(format!("{count} unexpected"));
                }
            }
            Progress::Finished(report) => self.bar.suspend(|| self.line(report)),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, report: &VariantReport) {
        let verdict =
            if report.as_expected { style("as expected").green() } else { style("unexpected ").red() };
        let runs = if report.runs == 1 { "run" } else { "runs" };
        let line = format!(
            "{}  {}: {} {runs}, expected: {}\n",
            verdict.for_stderr().force_styling(self.color),
            report.name,
            report.runs,
            report.expectation
        );
        // Progress that cannot be shown is no reason to stop; results that cannot be written are, later.
        if let Ok(mut lines) = self.lines.lock() {
            lines.write_all(line.as_bytes()).and_then(|()| lines.flush()).ok();
        }
    }
}
