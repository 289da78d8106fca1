//! From a file's text to a [`Scenario`], or to everything that is wrong with it.

use std::ops::Range;

use ironbird_sim::properties::sometimes::Sometimes;
use ironbird_sim::spec::Spec;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::complaints::Complaints;
use super::{
    Expectation, MAX_FILE_BYTES, MAX_SEEDS, MAX_VARIANTS, Rejected, Scenario, Variant, expectation, faults,
    limits, merge,
};

/// The parts of a [`Spec`].
const SPEC: [&str; 8] = ["cluster", "consul", "network", "store", "mysql", "scheduler", "workload", "fault"];
/// What a file says besides.
const FILE: [&str; 7] = ["name", "title", "why", "seeds", "seed", "sometimes", "variant"];
const DEFAULT_SEEDS: u64 = 100;

/// Reads a scenario. `file` is what the user calls it; its stem must be the scenario's name.
///
/// # Errors
/// Everything that is wrong with it, as far as it could be read.
pub fn parse(file: &str, source: &str) -> Result<Scenario, Rejected> {
    if source.len() as u64 > MAX_FILE_BYTES {
        return Err(Rejected::whole(file, format!("a scenario file has at most {MAX_FILE_BYTES} bytes")));
    }
    let mut complaints = Complaints::about(source);
    let scenario = read(file, source, &mut complaints);
    match scenario {
        Some(scenario) if complaints.is_empty() => Ok(scenario),
        _ => Err(Rejected {
            file: file.to_owned(),
            source: source.to_owned(),
            diagnostics: complaints.into_list(),
        }),
    }
}

fn read(file: &str, source: &str, complaints: &mut Complaints<'_>) -> Option<Scenario> {
    let (root, errors) = DeTable::parse_recoverable(source);
    for error in &errors {
        complaints.toml(error, 0..0);
    }
    if !errors.is_empty() {
        return None;
    }
    let whole = 0..source.find('\n').unwrap_or(source.len());
    let mut root = root.into_inner();
    for key in root.keys() {
        let word = key.get_ref().as_ref();
        if !SPEC.contains(&word) && !FILE.contains(&word) {
            complaints.unknown(key.span(), "field of a scenario", word, FILE.into_iter().chain(SPEC));
        }
    }
    let name = text(&mut root, "name", &whole, complaints);
    let title = text(&mut root, "title", &whole, complaints);
    let why = text(&mut root, "why", &whole, complaints);
    let (seeds, seed) = seeds(&mut root, complaints);
    let require = required(&mut root, complaints);
    let variants = root.remove("variant");
    let root = parts_of_a_spec(root);

    if let Some(name) = &name {
        own_name(file, name, complaints);
    }
    let variants = match variants {
        Some(variants) => read_variants(&root, variants, complaints),
        None => {
            complaints.add(
                whole.clone(),
                "the scenario has no variant",
                Some("add `[variant.NAME]` with `expect = \"pass\"`".to_owned()),
            );
            Vec::new()
        }
    };
    Some(Scenario {
        name: name?.into_inner(),
        title: title?.into_inner(),
        why: why?.into_inner(),
        seeds: seeds?,
        seed,
        require,
        variants,
    })
}

/// Without the keys that have been complained about: once is enough.
fn parts_of_a_spec<'i>(table: DeTable<'i>) -> DeTable<'i> {
    table.into_iter().filter(|(key, _)| SPEC.contains(&key.get_ref().as_ref())).collect()
}

fn text(
    root: &mut DeTable<'_>,
    field: &str,
    whole: &Range<usize>,
    complaints: &mut Complaints<'_>,
) -> Option<Spanned<String>> {
    let Some(value) = root.remove(field) else {
        complaints.add(whole.clone(), format!("the scenario has no `{field}`"), None);
        return None;
    };
    let span = value.span();
    match value.into_inner() {
        DeValue::String(text) => {
            limits::text(field, &text, span.clone(), complaints);
            Some(Spanned::new(span, text.into_owned()))
        }
        _ => {
            complaints.add(span, format!("`{field}` is a text"), None);
            None
        }
    }
}

/// How many seeds, and the one it must be, if the file fixes it.
fn seeds(root: &mut DeTable<'_>, complaints: &mut Complaints<'_>) -> (Option<u64>, Option<u64>) {
    let number = |value: &Spanned<DeValue<'_>>| {
        let number = value.get_ref().as_integer()?;
        u64::from_str_radix(number.as_str(), number.radix()).ok()
    };
    let seed = root.remove_entry("seed").and_then(|(key, value)| {
        if root.contains_key("seeds") {
            let help = "leave out `seeds`: a file with a `seed` runs that one";
            complaints.add(key.span(), "`seed` and `seeds` do not go together", Some(help.to_owned()));
        }
        let seed = number(&value);
        if seed.is_none() {
            complaints.add(value.span(), "`seed` is a whole number below 2^64", None);
        }
        seed
    });
    let Some(value) = root.remove("seeds") else {
        return (Some(if seed.is_some() { 1 } else { DEFAULT_SEEDS }), seed);
    };
    let seeds = number(&value).filter(|seeds| (1..=MAX_SEEDS).contains(seeds));
    if seeds.is_none() {
        complaints.add(value.span(), format!("`seeds` is a whole number from 1 to {MAX_SEEDS}"), None);
    }
    (seeds, seed)
}

/// What every variant's sweep must have reached: `[sometimes]` with `require`.
fn required(root: &mut DeTable<'_>, complaints: &mut Complaints<'_>) -> Vec<Sometimes> {
    let Some(value) = root.remove("sometimes") else {
        return Vec::new();
    };
    let DeValue::Table(table) = value.get_ref() else {
        complaints.add(value.span(), "`sometimes` is a table", Some("write `[sometimes]`".to_owned()));
        return Vec::new();
    };
    for key in table.keys().filter(|key| key.get_ref() != "require") {
        complaints.unknown(key.span(), "field of `sometimes`", key.get_ref(), ["require"]);
    }
    let Some(list) = table.get("require") else {
        complaints.add(value.span(), "`sometimes` does not say what to `require`", None);
        return Vec::new();
    };
    let Some(names) = list.get_ref().as_array() else {
        complaints.add(list.span(), "`require` is a list of names", None);
        return Vec::new();
    };
    let mut require = Vec::new();
    for name in names {
        let word = name.get_ref().as_str().unwrap_or_default();
        match Sometimes::ALL.into_iter().find(|known| known.name() == word) {
            Some(known) if require.contains(&known) => {
                complaints.add(name.span(), format!("`{word}` is required twice"), None);
            }
            Some(known) => require.push(known),
            None => {
                let known = Sometimes::ALL.into_iter().map(Sometimes::name);
                complaints.unknown(name.span(), "name of something to reach", word, known);
            }
        }
    }
    require
}

fn own_name(file: &str, name: &Spanned<String>, complaints: &mut Complaints<'_>) {
    let stem = std::path::Path::new(file).file_stem().and_then(|stem| stem.to_str());
    if !is_kebab_case(name.get_ref()) {
        complaints.add(name.span(), "a name is lower-case letters and digits joined by dashes", None);
    } else if stem != Some(name.get_ref()) {
        complaints.add(
            name.span(),
            format!("the file is not called `{}.toml`", name.get_ref()),
            stem.filter(|stem| is_kebab_case(stem))
                .map(|stem| format!("write `name = \"{stem}\"` or rename the file")),
        );
    }
}

fn is_kebab_case(name: &str) -> bool {
    name.len() <= 64
        && name.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        })
}

fn read_variants<'i>(
    shared: &DeTable<'i>,
    variants: Spanned<DeValue<'i>>,
    complaints: &mut Complaints<'_>,
) -> Vec<Variant> {
    let span = variants.span();
    let DeValue::Table(table) = variants.into_inner() else {
        complaints.add(span, "variants are tables", Some("write each as `[variant.NAME]`".to_owned()));
        return Vec::new();
    };
    if table.is_empty() || table.len() > MAX_VARIANTS {
        complaints.add(span, format!("a scenario has 1 to {MAX_VARIANTS} variants"), None);
        return Vec::new();
    }
    let mut table: Vec<_> = table.into_iter().collect();
    // The tree is sorted by name; what a person reads keeps the order it was written in.
    table.sort_by_key(|(key, _)| key.span().start);
    table.into_iter().filter_map(|(key, value)| read_variant(shared, key, value, complaints)).collect()
}

fn read_variant<'i>(
    shared: &DeTable<'i>,
    key: Spanned<std::borrow::Cow<'i, str>>,
    value: Spanned<DeValue<'i>>,
    complaints: &mut Complaints<'_>,
) -> Option<Variant> {
    let name = key.get_ref().as_ref();
    if !is_kebab_case(name) {
        complaints.add(
            key.span(),
            "a variant's name is lower-case letters and digits joined by dashes",
            None,
        );
    }
    let span = value.span();
    let DeValue::Table(mut overrides) = value.into_inner() else {
        complaints.add(span, "a variant is a table", None);
        return None;
    };
    let expect = expect(&key, &mut overrides, complaints);
    for key in overrides.keys() {
        let word = key.get_ref().as_ref();
        if !SPEC.contains(&word) {
            complaints.unknown(key.span(), "field of a variant", word, ["expect"].into_iter().chain(SPEC));
        }
    }

    let mut tree = shared.clone();
    merge::lay_over(&mut tree, parts_of_a_spec(overrides));
    if let Some(list) = tree.get("fault") {
        let mut about_faults = complaints.fork();
        faults::check(list, &mut about_faults);
        let sound = about_faults.is_empty();
        complaints.join(about_faults);
        if !sound {
            // Left in, the list would be complained about again as a whole.
            tree.remove("fault");
        }
    }
    let spec = match Spec::deserialize(Deserializer::from(Spanned::new(key.span(), tree.clone()))) {
        Ok(spec) => spec,
        Err(error) => {
            complaints.toml(&error, key.span());
            return None;
        }
    };
    limits::check(&spec, &tree, key.span(), complaints);
    Some(Variant { name: name.to_owned(), spec, expect: expect?, line: complaints.line(key.span().start) })
}

fn expect(
    key: &Spanned<std::borrow::Cow<'_, str>>,
    overrides: &mut DeTable<'_>,
    complaints: &mut Complaints<'_>,
) -> Option<Expectation> {
    match overrides.remove("expect") {
        Some(value) => expectation::read(&value, complaints),
        None => {
            complaints.add(
                key.span(),
                format!("variant `{}` does not say what to expect", key.get_ref()),
                Some("add `expect = \"pass\"` or `expect = { violates = \"...\" }`".to_owned()),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use ironbird_sim::spec::Spec;

    use super::SPEC;

    #[test]
    fn the_names_of_the_parts_of_a_spec_are_complete() {
        let written = toml::Table::try_from(Spec::default()).unwrap();
        let mut keys: Vec<_> = written.keys().map(String::as_str).collect();
        let mut known = SPEC.to_vec();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
    }
}
