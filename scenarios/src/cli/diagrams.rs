//! The diagrams in GitHub's summary: of failures reduced to their cause.
//!
//! A diagram of a run as it was found shows every fault and machine there was. A little shrinking, by as
//! many runs as a summary is worth, leaves what matters; what it cannot make smaller is drawn as it was.

use ironbird_reports::mermaid;
use ironbird_reports::suite::SuiteReport;
use ironbird_sim::seed::Seed;
use ironbird_sim::signature::Signature;
use ironbird_sim::swarm::Profile;

use super::Stop;
use crate::hunt::{Case, Lab, shrink};
use crate::select::Selection;

/// Variants whose failure is reduced.
const MOST: usize = 3;

/// Runs for each of them.
const BUDGET: u64 = 80;

/// Reduces the first failure of the first few variants that are not as expected, and draws what is left.
pub(super) fn reduce(
    suite: &mut SuiteReport,
    selections: &[Selection],
    swarm: Option<&Profile>,
    lab: &Lab<'_>,
) -> Result<(), Stop> {
    let mut left = MOST;
    // A sweep that stopped early has fewer reports than there are variants, in the same order.
    for (report, selected) in suite.variants.iter_mut().zip(selections.iter().flat_map(Selection::variants)) {
        let Some(failure) = report.failures.first_mut().filter(|_| left > 0) else { continue };
        // One that panicked has no diagram, and one that should have failed and did not has no failure.
        let Some(signature) = failure.signature.clone().filter(|one| one.property().is_some()) else {
            continue;
        };
        left -= 1;
        let case = Case::of(selected, Seed(failure.seed), swarm);
        let faults = case.spec.faults.len();
        let small = shrink(lab, case, &signature, BUDGET, &mut |_| Ok(()))?.case;
        let Ok(run) = lab.fly(&small) else { continue };
        let shows =
            |one: &&_| Signature::of_all(&run.record, std::slice::from_ref(*one)).contains(&signature);
        if let Some(violation) = run.violations.iter().find(shows) {
            let title = format!(
                "Reduced to {} of {faults} faults, {} instances",
                small.spec.faults.len(),
                small.spec.cluster.instances
            );
            failure.diagram = format!("---\ntitle: {title}\n---\n{}", mermaid(&run.record, violation));
        }
    }
    Ok(())
}
