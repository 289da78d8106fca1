//! Where cases are run, many at a time.

use ironbird_sim::run::Run;
use ironbird_sim::signature::Signature;
use rayon::prelude::*;

use super::Case;
use crate::runner::{RunFn, catch};

/// Makes runs of cases on a pool of threads.
pub struct Lab<'a> {
    run: &'a RunFn<'a>,
    pool: rayon::ThreadPool,
}

impl<'a> Lab<'a> {
    /// A lab that makes runs with `run`, on this many threads; 0 for as many as the machine has.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(run: &'a RunFn<'a>, jobs: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(jobs)
            .thread_name(|index| format!("lab-{index}"))
            .stack_size(crate::runner::STACK)
            .build()?;
        Ok(Self { run, pool })
    }

    /// Threads.
    pub fn jobs(&self) -> usize {
        self.pool.current_num_threads().max(1)
    }

    /// Runs `case`.
    ///
    /// # Errors
    /// When the run panics: where, and what it said.
    pub fn fly(&self, case: &Case) -> Result<Run, String> {
        catch(|| (self.run)(&case.spec, &case.name, case.seed, &case.plan()))
    }

    /// The failures `case` shows, in the order they happened.
    pub fn signatures(&self, case: &Case) -> Vec<Signature> {
        match self.fly(case) {
            Ok(run) => Signature::of_all(&run.record, &run.violations),
            Err(panic) => vec![Signature::of_panic(&panic)],
        }
    }

    /// What `look` makes of each of `items`, in their order.
    pub fn each<T: Sync, R: Send>(&self, items: &[T], look: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
        self.pool.install(|| items.par_iter().map(look).collect())
    }
}
