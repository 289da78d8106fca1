//! A variant's tables laid over the shared ones.
//!
//! Tables merge key by key, to any depth; everything else, lists included, replaces what was there. A
//! variant with its own `[[variant.NAME.fault]]` entries therefore has those faults and no others. Keys and
//! values keep the positions they had in the file.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) fn lay_over<'i>(shared: &mut DeTable<'i>, overrides: DeTable<'i>) {
    for (key, value) in overrides {
        let name = key.get_ref().as_ref();
        let span = value.span();
        match (shared.get_mut(name).map(Spanned::get_mut), value.into_inner()) {
            (Some(DeValue::Table(there)), DeValue::Table(table)) => lay_over(there, table),
            (_, value) => {
                // Removed first because inserting would keep the old key, which sits elsewhere.
                shared.remove(name);
                shared.insert(key, Spanned::new(span, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::de::{DeTable, Deserializer};

    use super::lay_over;

    fn merged(shared: &str, overrides: &str) -> toml::Table {
        use serde::Deserialize;

        let mut base = DeTable::parse(shared).unwrap();
        lay_over(base.get_mut(), DeTable::parse(overrides).unwrap().into_inner());
        toml::Table::deserialize(Deserializer::from(base)).unwrap()
    }

    #[test]
    fn tables_merge_and_everything_else_replaces() {
        for (shared, overrides, expected) in [
            ("a = 1", "", "a = 1"),
            ("", "a = 1", "a = 1"),
            ("a = 1", "a = 2", "a = 2"),
            ("t = { a = 1, b = 1 }", "t = { b = 2 }", "t = { a = 1, b = 2 }"),
            ("[t.u]\na = 1", "[t.u]\nb = 2", "[t.u]\na = 1\nb = 2"),
            ("l = [1, 2]", "l = [3]", "l = [3]"),
            ("[[l]]\na = 1\n[[l]]\na = 2", "[[l]]\na = 3", "[[l]]\na = 3"),
            // What is of the wrong type is not repaired here: it must reach whoever complains about it.
            ("t = { a = 1 }", "t = 2", "t = 2"),
            ("t = 2", "t = { a = 1 }", "t = { a = 1 }"),
        ] {
            let expected: toml::Table = expected.parse().unwrap();
            assert_eq!(merged(shared, overrides), expected, "{shared:?} under {overrides:?}");
        }
    }
}
