//! What sweeps once found stays mended: every entry of the project's corpus holds, and still tries something.

use std::path::Path;

use ironbird::hunt::Lab;
use ironbird::hunt::corpus::{Verdict, replay};
use ironbird_sim::run::run;

#[test]
fn what_was_found_once_stays_mended() {
    let lab = Lab::new(&run, 0).unwrap();
    let replayed = replay(&lab, &Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).unwrap();
    assert!(!replayed.is_empty());
    for entry in replayed {
        assert!(matches!(entry.verdict, Verdict::Holds), "{entry:?}");
    }
}
