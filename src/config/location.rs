//! The place of a setting: the line of the file, or the environment variable. Messages name it, because a mistake has
//! to be corrected there.

use std::fmt;
use std::path::{Path, PathBuf};

use super::environment::Variable;

/// The sources of the settings.
#[derive(Clone, Default)]
pub struct Sources {
    file: Option<(PathBuf, String)>,
    /// The key and the variable's name.
    variables: Vec<(String, String)>,
}

impl Sources {
    pub(super) fn new(file: Option<(&Path, String)>, variables: &[Variable]) -> Self {
        let named = |variable: &Variable| (variable.key.clone(), variable.name.clone());
        Self {
            file: file.map(|(path, text)| (path.to_owned(), text)),
            variables: variables.iter().map(named).collect(),
        }
    }

    /// Returns the variable that sets `key`, a part of it or something that contains it, or else the line of the file.
    pub(super) fn place_of(&self, key: &str) -> Option<String> {
        let is_part = |inner: &str, outer: &str| {
            inner == outer
                || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', '[']))
        };
        let sets = |set: &str| is_part(set, key) || is_part(key, set);
        if let Some((_, name)) = self.variables.iter().find(|(set, _)| sets(set)) {
            return Some(name.clone());
        }
        let (path, text) = self.file.as_ref()?;
        Some(format!("{}, line {}", path.display(), line_of(text, &segments(key))?))
    }

    /// Puts the place in front of a sentence that begins with a key: `tree.alias: …`, `listener 2: …`.
    pub(super) fn locate(&self, sentence: &str) -> String {
        let begin = sentence.split(": ").next().unwrap_or_default();
        let key = begin.split([' ', ',']).next().unwrap_or_default();
        let number =
            begin.strip_prefix("listener ").and_then(|number| number.parse::<usize>().ok());
        let key = number.map_or(key.to_owned(), |number| {
            // Sentences count listeners from 1. A key that is named next (`listener 1: address: …`) is not looked at.
            format!("listener[{}]", number.saturating_sub(1))
        });
        match self.place_of(&key) {
            Some(place) => format!("{place}: {sentence}"),
            None => sentence.to_owned(),
        }
    }
}

/// Leaves the content out, because it contains secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

/// Splits `listener[0].address` into `listener`, `0`, `address`.
fn segments(key: &str) -> Vec<String> {
    let parts = key.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// Returns the line of the key, or of the closest table around it. The text is searched line by line, because the
/// parser does not report where a value was.
fn line_of(text: &str, wanted: &[String]) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    let mut table: Vec<String> = Vec::new();
    let mut tables: Vec<Vec<String>> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        let here = if let Some(name) = line.strip_prefix("[[") {
            table = segments(name.split("]]").next().unwrap_or_default());
            let before = tables.iter().filter(|name| **name == table).count();
            tables.push(table.clone());
            table.push(before.to_string());
            table.clone()
        } else if let Some(name) = line.strip_prefix('[').filter(|_| !line.contains('=')) {
            table = segments(name.split(']').next().unwrap_or_default());
            table.clone()
        } else if let Some((key, _)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            let key = segments(key.trim().trim_matches(['"', '\'']));
            table.iter().cloned().chain(key).collect()
        } else {
            continue;
        };
        let is_around = wanted.starts_with(&here) && !here.is_empty();
        if is_around && best.is_none_or(|(depth, _)| here.len() > depth) {
            best = Some((here.len(), number + 1));
        }
    }
    best.map(|(_, line)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_key_is_found_in_its_table() {
        let text = "[server]\npublic_url = 'x'\n[[listener]]\naddress = 'a'\n\n[[listener]]\n# address\naddress = 'b'\n\
                    [store]\noptions.region = 'r'\n[access]\noidc = { issuer = 'x' }\n";
        for (key, line) in [
            ("server.public_url", Some(2)),
            ("listener[0].address", Some(4)),
            ("listener[1].address", Some(8)),
            ("listener[1]", Some(6)),
            ("listener[1].key", Some(6)),
            ("store.options.region", Some(10)),
            ("access.oidc.issuer", Some(12)),
            ("tree.alias", None),
        ] {
            assert_eq!(line_of(text, &segments(key)), line, "{key}");
        }
    }
}
