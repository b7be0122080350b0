//! Makes text of other machines safe for a terminal: names, reasons and error messages may contain escape sequences,
//! which move the cursor, rename the window or type for the reader.

use std::borrow::Cow;

/// Writes control characters (C0, DEL, C1) other than newline and tab, and those that change the direction of writing,
/// as `\u{1b}`.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_command) {
        return Cow::Borrowed(text);
    }
    let shown = text
        .chars()
        .map(|c| if is_command(c) { c.escape_unicode().to_string() } else { c.to_string() });
    Cow::Owned(shown.collect())
}

/// Does the same for JSON with JSON's own escapes. C0 is escaped there already.
pub fn plain_json(document: &serde_json::Value) -> String {
    use std::fmt::Write as _;

    let mut plain = String::new();
    for c in document.to_string().chars() {
        if is_command(c) {
            // Writing to a string never fails.
            let _ = write!(plain, "\\u{:04x}", u32::from(c));
        } else {
            plain.push(c);
        }
    }
    plain
}

fn is_command(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_shown_and_not_followed() {
        assert_eq!(plain("win7\u{1b}[2J\u{9b}1m\r\u{7f}"), "win7\\u{1b}[2J\\u{9b}1m\\u{d}\\u{7f}");
        assert_eq!(plain("txt.\u{202e}exe"), "txt.\\u{202e}exe");
        assert_eq!(plain("Müller\n\tein Satz"), "Müller\n\tein Satz");
    }

    #[test]
    fn json_stays_json_and_means_the_same() {
        let document = serde_json::json!({"reason": "a\u{9b}2J\u{1b}\u{202e}\n"});
        let text = plain_json(&document);
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), document);
    }
}
