//! What the renderers of a map share: the words for a row, and the order of rows.

use std::cmp::Reverse;

use ironbird_sim::recovery::{Cells, Instance, RecoveryMap, Row};

/// The parts of a state in columns: `[title, text]`, only those the map tells apart.
pub(super) fn parts(row: &Row) -> Vec<[String; 2]> {
    let named =
        |title: &str, name: Option<&'static str>| name.map(|name| [title.to_owned(), name.to_owned()]);
    [
        row.instances.as_deref().map(|instances| ["instances".to_owned(), counted(instances)]),
        named("lock", row.lock.map(|lock| lock.name())),
        named("backup", row.backup.map(|backup| backup.name())),
        named("catalog", row.catalog.map(|catalog| catalog.name())),
        named("Consul", row.consul.map(|consul| consul.name())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A row in one line: `primary, 2 replica; lock held`.
pub(crate) fn named(row: &Row) -> String {
    // Nobody says "lock lock-delay".
    let says_so = |title: &str, text: &str| title == "instances" || text.starts_with(title);
    let named = |[title, text]: [String; 2]| {
        if says_so(&title, &text) { text } else { format!("{title} {text}") }
    };
    parts(row).into_iter().map(named).collect::<Vec<_>>().join("; ")
}

/// `primary, 2 replica`: instances are sorted, so equal ones stand together.
fn counted(instances: &[Instance]) -> String {
    let words: Vec<_> = instances
        .chunk_by(|a, b| a == b)
        .map(|alike| match alike {
            [one] => one.name().to_owned(),
            several => format!("{} {}", several.len(), several[0].name()),
        })
        .collect();
    words.join(", ")
}

/// The rows, those from which a run did not come back first, then the most visited.
pub(crate) fn worst_first(map: &RecoveryMap) -> Vec<(&Row, &Cells)> {
    let mut rows: Vec<_> = map.rows().collect();
    rows.sort_by_key(|(_, cells)| {
        let all = &cells.all;
        let comes_back = all.stranded.is_none();
        (comes_back, if comes_back { 0 } else { all.percent() }, Reverse(all.runs))
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_instances_are_counted() {
        use Instance::{Absent, Primary, Replica};
        assert_eq!(counted(&[Primary, Replica, Replica, Absent]), "primary, 2 replica, absent");
        assert_eq!(counted(&[]), "");
    }
}
