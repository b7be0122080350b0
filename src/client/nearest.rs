//! What somebody may have meant who named something that is not there.

/// How much of two names agrees at least for one to be meant by the other (Jaro and Winkler's measure).
const ALIKE: f64 = 0.85;

/// `there is no image named win7-ofice; did you mean win7-office?`
pub fn absent(what: &str, name: &str, known: impl IntoIterator<Item = String>) -> String {
    let hint = nearest(name, known).map(|near| format!("; did you mean {near}?"));
    format!("there is no {what} named {name}{}", hint.unwrap_or_default())
}

/// The known name that is most like this one, if any is.
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
