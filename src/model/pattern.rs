//! Patterns in which `*` stands for any run of characters.

use super::name::ImageName;

/// Whether all of `text` is as the pattern has it. Compares character by character: whoever does not
/// regard case brings both in one case.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut pieces = tail.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // The first place is the best one: it leaves most to the pieces that follow.
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

/// The same without regard to case.
pub fn matches_any_case(pattern: &str, text: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

/// Whether an image is among those that somebody is confined to; no pattern is all images.
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
