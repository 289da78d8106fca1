//! `ironbird check`.

use super::args::Which;
use super::{Console, Stop, rendered};
use crate::exit_code::Exit;
use crate::select::select;

pub(super) fn check(which: &Which, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let (selections, errors) = select(&which.which);
    for selection in &selections {
        let variants: Vec<_> = selection.variants().map(|one| one.variant.name.as_str()).collect();
        console.print(&format!("sound  {}  {}\n", selection.from.file, variants.join(", ")))?;
    }
    for (index, error) in errors.iter().enumerate() {
        let gap = if index > 0 || !selections.is_empty() { "\n" } else { "" };
        console.complain(&format!("{gap}{}", rendered(error, console.color_err)))?;
    }
    if !errors.is_empty() {
        return Ok(Exit::Usage);
    }
    if selections.is_empty() {
        console.complain("error: nothing is selected: there is no scenario file there\n")?;
        return Ok(Exit::NothingSelected);
    }
    Ok(Exit::AsExpected)
}
