//! Patterns in which `*` stands for any run of characters.

use super::name::ImageName;

/// Reports whether the pattern matches the whole text. It compares character by character: to ignore case, the caller
/// converts both to the same case.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut pieces = tail.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The first match is the best one: it leaves most text to the pieces that follow.
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

/// Reports the same without regard to the case of ASCII letters.
pub fn matches_any_case(pattern: &str, text: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

/// Reports whether an image is among those that a caller is restricted to; no patterns mean all images.
pub fn covers(patterns: &[String], image: &ImageName) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches_any_case(pattern, image.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text) in [
            ("win*", "win7"),
            ("*", ""),
            ("*", "x"),
            ("a*b*c", "a-b-b-c"),
            ("lab-*-x", "lab--x"),
            ("x", "x"),
            ("*ü*", "Müller"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("win*", "xwin"),
            ("a*b", "abc"),
            ("ab*ba", "aba"),
            ("a*b*c", "acb"),
            ("x", "xy"),
            ("x", "X"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
