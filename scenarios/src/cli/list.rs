//! `ironbird list`.

use std::fmt::Write;

use console::style;

use super::args::Which;
use super::{Console, Stop, selected};
use crate::exit_code::Exit;

pub(super) fn list(which: &Which, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let selections = selected(&which.which, console)?;
    let color = console.color_out;
    let mut text = String::new();
    for (index, selection) in selections.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let scenario = &selection.from.scenario;
        // Writing to a string does not fail.
        writeln!(
            text,
            "{}  {}  {}",
            style(&selection.from.selector).bold().force_styling(color),
            match scenario.seed {
                Some(seed) => format!("seed {seed}"),
                None => format!("{} seeds", scenario.seeds),
            },
            scenario.title
        )
        .ok();
        let widest = selection.variants().map(|one| one.selector().len()).max();
        for one in selection.variants() {
            writeln!(
                text,
                "  {:<width$}  {:#}",
                one.selector(),
                one.variant.expect,
                width = widest.unwrap_or_default()
            )
            .ok();
        }
    }
    console.print(&text)?;
    Ok(Exit::AsExpected)
}
