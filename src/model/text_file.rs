//! Text from files that people and Windows make: with a byte-order mark before it, with a line end behind it.

/// With it Windows' editors begin what they save as UTF-8.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// A password or token in a file of its own: all but the mark before it and the line end that editors add.
pub fn secret_in(text: &str) -> &str {
    without_byte_order_mark(text).trim_end_matches(['\r', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_whatever_wrote_its_file() {
        for text in ["pass word ", "pass word \n", "pass word \r\n", "\u{feff}pass word \r\n"] {
            assert_eq!(secret_in(text), "pass word ");
        }
    }
}
