//! Suggests the name that a user may have meant instead of one that does not exist.

/// The least similarity (Jaro-Winkler) of two names at which one is suggested for the other.
const ALIKE: f64 = 0.85;

/// Returns `there is no image named win7-ofice; did you mean win7-office?`
pub fn absent(what: &str, name: &str, known: impl IntoIterator<Item = String>) -> String {
    let hint = nearest(name, known).map(|near| format!("; did you mean {near}?"));
    format!("there is no {what} named {name}{}", hint.unwrap_or_default())
}

/// Returns the known name that is most similar to this one, if any is similar enough.
pub fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let name = name.to_lowercase();
    let likeness = |other: String| (strsim::jaro_winkler(&name, &other.to_lowercase()), other);
    let rated = known.into_iter().map(likeness).filter(|(likeness, _)| *likeness >= ALIKE);
    rated.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_a_strange_one_is_not() {
        let known = || ["win7-office", "win7-lab", "debian"].map(str::to_owned);
        for (typed, meant) in [
            ("win7-ofice", Some("win7-office")),
            ("WIN7-OFFCE", Some("win7-office")),
            ("debain", Some("debian")),
            ("solaris", None),
        ] {
            assert_eq!(nearest(typed, known()).as_deref(), meant, "{typed}");
        }
        assert_eq!(absent("image", "x", known()), "there is no image named x");
    }
}
