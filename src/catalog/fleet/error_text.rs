//! The error messages that machines send: of any length, and with anything in them.

/// The number of characters that are kept of an error.
const LONGEST: usize = 1000;

/// Returns an error message without control characters, which would disturb tables and logs, up to its longest length.
pub(super) fn clean(error: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = error.chars().map(printable).take(LONGEST).collect();
    text.trim().to_owned()
}
