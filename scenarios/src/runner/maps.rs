//! The recovery maps of a sweep: one for each set of handlers.

use ironbird_reports::map::Section;
use ironbird_sim::recovery::{Example, RecoveryMap, View};
use ironbird_sim::seed::Seed;
use ironbird_sim::spec::Handlers;

use super::{Runner, replay_command};
use crate::format::Expectation;
use crate::select::{Selected, Selection};

/// What a row of a sweep's map is: what a person asks for first. Results of runs are kept by it.
pub(crate) const MAP_VIEW: View = View { instances: true, lock: true, ..View::NOTHING };

/// An empty section for each set of handlers that is selected, ours first.
pub(crate) fn sections(selections: &[Selection], view: View) -> Vec<(Handlers, Section)> {
    [(Handlers::Hardened, "hardened"), (Handlers::Published, "as published")]
        .into_iter()
        .filter_map(|(handlers, title)| {
            let variants: Vec<_> = selections
                .iter()
                .flat_map(Selection::variants)
                .filter(|one| one.variant.spec.cluster.handlers == handlers)
                .collect();
            let section = Section {
                title: title.to_owned(),
                map: RecoveryMap::new(view),
                variants: variants.len(),
                must_recover: variants.iter().all(|one| matches!(one.variant.expect, Expectation::Pass)),
            };
            (section.variants > 0).then_some((handlers, section))
        })
        .collect()
}

impl Runner<'_> {
    /// How a map names a run.
    pub(crate) fn example(&self, selected: Selected<'_>, seed: Seed) -> Example {
        let replay = replay_command(selected, seed, self.options.swarm.as_ref());
        Example { variant: selected.name(), seed: seed.0, replay }
    }
}
