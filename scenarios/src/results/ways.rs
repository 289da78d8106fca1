//! What a run adds to the recovery map, in few bytes: a line of results is kept for every run there is.
//!
//! A row is a letter an instance and one for the lock, `PRR.H`; below it every kind of fault has its way
//! back in microseconds, or nothing where there was none.

use std::collections::BTreeMap;
use std::time::Duration;

use ironbird_sim::recovery::{Instance, Lock, Passage, Row};

/// By row and kind of fault.
pub(super) type Written = BTreeMap<String, BTreeMap<String, Option<u64>>>;

const INSTANCES: [(Instance, char); 8] = [
    (Instance::Primary, 'P'),
    (Instance::Replica, 'R'),
    (Instance::Demoted, 'D'),
    (Instance::Waiting, 'W'),
    (Instance::Restoring, 'B'),
    (Instance::Starting, 'S'),
    (Instance::Stuck, 'X'),
    (Instance::Absent, '-'),
];

const LOCKS: [(Lock, char); 4] =
    [(Lock::Free, 'F'), (Lock::Held, 'H'), (Lock::HeldByDead, 'D'), (Lock::LockDelay, 'L')];

/// `passage`, whose rows are of instances and lock.
pub(super) fn written(passage: &Passage) -> Written {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let faults = |faults: &BTreeMap<String, Option<Duration>>| {
        faults.iter().map(|(fault, back)| (fault.clone(), back.map(micros))).collect()
    };
    passage.ways_back.iter().map(|(row, ways)| (letters(row), faults(ways))).collect()
}

fn letters(row: &Row) -> String {
    let letter = |one: &Instance| INSTANCES.iter().find(|(known, _)| known == one).map(|(_, letter)| *letter);
    let instances: String = row.instances.iter().flatten().filter_map(letter).collect();
    let lock = row.lock.and_then(|lock| LOCKS.iter().find(|(known, _)| *known == lock));
    format!("{instances}.{}", lock.map_or('-', |(_, letter)| *letter))
}

/// What was [`written`] of a run that recovered or did not.
pub(super) fn read(written: &Written, recovered: bool) -> Result<Passage, String> {
    let mut passage = Passage { recovered, ..Passage::default() };
    for (letters, faults) in written {
        let row = row(letters).ok_or_else(|| format!("`{letters}` is no state of a cluster"))?;
        let ways = faults.iter().map(|(fault, back)| (fault.clone(), back.map(Duration::from_micros)));
        passage.ways_back.insert(row, ways.collect());
    }
    Ok(passage)
}

fn row(letters: &str) -> Option<Row> {
    let (instances, lock) = letters.rsplit_once('.')?;
    let instance =
        |letter| INSTANCES.iter().find(|(_, known)| *known == letter).map(|(instance, _)| *instance);
    let mut letter = lock.chars();
    let lock = letter.next().filter(|_| letter.as_str().is_empty())?;
    Some(Row {
        instances: Some(instances.chars().map(instance).collect::<Option<_>>()?),
        lock: Some(LOCKS.iter().find(|(_, known)| *known == lock)?.0),
        backup: None,
        catalog: None,
        consul: None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ironbird_sim::recovery::{Instance, Lock, Passage};

    use super::{INSTANCES, LOCKS, read, row, written};

    #[test]
    fn every_state_reads_back() {
        let mut passage = Passage { recovered: true, ..Passage::default() };
        for (lock, _) in LOCKS {
            for (instance, _) in INSTANCES {
                let mut row = row("PR.H").unwrap();
                row.instances = Some(vec![Instance::Primary, instance]);
                row.lock = Some(lock);
                let ways = [("none".to_owned(), None), ("kill".to_owned(), Some(Duration::from_micros(17)))];
                passage.ways_back.insert(row, ways.into());
            }
        }
        assert_eq!(passage.ways_back.len(), 32);
        assert_eq!(read(&written(&passage), true), Ok(passage));
    }

    #[test]
    fn what_is_no_state_is_refused() {
        assert_eq!(row("PRR.H").and_then(|row| row.lock), Some(Lock::Held));
        for letters in ["", "PRR", "PRR.", "PRR.HH", "PQR.H", "PRR.Q"] {
            assert_eq!(row(letters), None, "{letters}");
        }
    }
}
