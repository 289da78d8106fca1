//! From what was written on the command line to the variants that are meant.
//!
//! `leader-kill` is a scenario of the program, `leader-kill/hardened` one variant of it; anything else is
//! a path: of a file, of a folder, or of a file followed by `/` and a variant. A name of the program wins
//! over a path of the same name; `./leader-kill` means the path. Nothing written means every scenario of
//! the program.

use std::path::Path;

use crate::format::{Scenario, Variant, nearest};
use crate::library::{self, LoadError, Sourced};

/// What was selected of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The file.
    pub from: Sourced,
    /// Which of its variants, as indices.
    pub variants: Vec<usize>,
}

/// One variant, ready to run.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'a> {
    /// The file it is in.
    pub from: &'a Sourced,
    /// The variant.
    pub variant: &'a Variant,
}

/// Why what was written selects nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A file could not be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no such scenario.
    #[error("there is no scenario `{word}`{}", hint(.nearest))]
    Unknown {
        /// What was written.
        word: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The scenario has no such variant.
    #[error("scenario `{scenario}` has no variant `{word}`{}", hint(.nearest))]
    NoVariant {
        /// The scenario.
        scenario: String,
        /// What was written.
        word: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
}

impl Selection {
    /// The selected variants, in the order of the file.
    pub fn variants(&self) -> impl Iterator<Item = Selected<'_>> {
        self.variants.iter().filter_map(|index| {
            Some(Selected { from: &self.from, variant: self.from.scenario.variants.get(*index)? })
        })
    }
}

impl Selected<'_> {
    /// `file/variant`, as records and reports have it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.from.scenario.name, self.variant.name)
    }

    /// What selects it on the command line.
    pub fn selector(&self) -> String {
        format!("{}/{}", self.from.selector, self.variant.name)
    }
}

/// What `words` select, file by file in the order of first mention, no variant twice; and every reason
/// why a word could not be used.
pub fn select(words: &[String]) -> (Vec<Selection>, Vec<SelectError>) {
    let mut selections = Vec::new();
    let mut errors = Vec::new();
    if words.is_empty() {
        for name in library::names() {
            add(library::built_in(name), None, &mut selections, &mut errors);
        }
    }
    for word in words {
        one(word, &mut selections, &mut errors);
    }
    (selections, errors)
}

fn one(word: &str, selections: &mut Vec<Selection>, errors: &mut Vec<SelectError>) {
    let (head, variant) = match word.rsplit_once('/') {
        Some((head, variant)) => (head, Some(variant)),
        None => (word, None),
    };
    if let Some(loaded) = library::built_in(head) {
        return add(Some(loaded), variant, selections, errors);
    }
    let path = Path::new(word);
    if path.is_dir() {
        return match library::files_in(path) {
            Ok(files) => {
                for file in files {
                    add(Some(library::from_file(&file)), None, selections, errors);
                }
            }
            Err(error) => errors.push(error.into()),
        };
    }
    if path.exists() {
        return add(Some(library::from_file(path)), None, selections, errors);
    }
    if variant.is_some() && Path::new(head).is_file() {
        return add(Some(library::from_file(Path::new(head))), variant, selections, errors);
    }
    errors.push(SelectError::Unknown { word: word.to_owned(), nearest: nearest_selector(head, variant) });
}

fn add(
    loaded: Option<Result<Sourced, LoadError>>,
    variant: Option<&str>,
    selections: &mut Vec<Selection>,
    errors: &mut Vec<SelectError>,
) {
    let from = match loaded {
        Some(Ok(from)) => from,
        Some(Err(error)) => return errors.push(error.into()),
        None => return,
    };
    let chosen = match variant {
        None => (0..from.scenario.variants.len()).collect(),
        Some(word) => match index_of(&from.scenario, word) {
            Some(index) => vec![index],
            None => {
                let names = from.scenario.variants.iter().map(|variant| variant.name.as_str());
                return errors.push(SelectError::NoVariant {
                    scenario: from.selector,
                    word: word.to_owned(),
                    nearest: nearest(word, names).map(str::to_owned),
                });
            }
        },
    };
    match selections.iter_mut().find(|selection| selection.from.selector == from.selector) {
        Some(selection) => {
            selection.variants.extend(chosen);
            selection.variants.sort_unstable();
            selection.variants.dedup();
        }
        None => selections.push(Selection { from, variants: chosen }),
    }
}

fn index_of(scenario: &Scenario, word: &str) -> Option<usize> {
    scenario.variants.iter().position(|variant| variant.name == word)
}

fn nearest_selector(head: &str, variant: Option<&str>) -> Option<String> {
    let name = nearest(head, library::names())?;
    // The variant is suggested as well when it would have been right.
    let variant = variant.filter(|word| {
        library::built_in(name)
            .and_then(Result::ok)
            .is_some_and(|from| index_of(&from.scenario, word).is_some())
    });
    Some(match variant {
        Some(variant) => format!("{name}/{variant}"),
        None => name.to_owned(),
    })
}

fn hint(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!(": did you mean `{name}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::select;

    fn names(words: &[&str]) -> Result<Vec<String>, String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let (selections, errors) = select(&words);
        match errors.first() {
            Some(error) => Err(error.to_string()),
            None => Ok(selections
                .iter()
                .flat_map(|selection| selection.variants().map(|variant| variant.selector()))
                .collect()),
        }
    }

    #[test]
    fn names_select_scenarios_and_variants() {
        let all = ["leader-kill/published", "leader-kill/hardened"];
        for (words, expected) in [
            (&["leader-kill"][..], &all[..]),
            (&["leader-kill/hardened"], &all[1..]),
            (&["leader-kill/hardened", "leader-kill/published"], &all),
            (&["leader-kill/hardened", "leader-kill"], &all),
        ] {
            assert_eq!(names(words).unwrap(), expected, "{words:?}");
        }
        assert!(names(&[]).unwrap().len() > all.len());
    }

    #[test]
    fn what_is_unknown_names_the_nearest() {
        for (word, expected) in [
            ("leader-kil", "there is no scenario `leader-kil`: did you mean `leader-kill`?"),
            (
                "leder-kill/hardened",
                "there is no scenario `leder-kill/hardened`: did you mean `leader-kill/hardened`?",
            ),
            (
                "leader-kill/hardend",
                "scenario `leader-kill` has no variant `hardend`: did you mean `hardened`?",
            ),
            ("zebra", "there is no scenario `zebra`"),
            ("no/such/file.toml", "there is no scenario `no/such/file.toml`"),
        ] {
            assert_eq!(names(&[word]).unwrap_err(), expected);
        }
    }

    #[test]
    fn paths_select_files_folders_and_variants() {
        let root = env!("CARGO_MANIFEST_DIR");
        let file = format!("{root}/failover/leader-kill.toml");
        let hardened = format!("{file}/hardened");
        assert_eq!(names(&[&file]).unwrap().len(), 2);
        assert_eq!(names(&[&hardened]).unwrap().join(" "), hardened);
        assert_eq!(names(&[&file, &hardened]).unwrap().len(), 2);
        let folder = names(&[&format!("{root}/failover")]).unwrap();
        assert!(folder.len() > 2 && folder.contains(&hardened), "{folder:?}");
    }
}
