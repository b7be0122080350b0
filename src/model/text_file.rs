//! Text from files that people and Windows programs write: with a byte-order mark at the start and a line ending at the
//! end.

use std::io;

/// The mark with which Windows editors begin files that they save as UTF-8.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Returns a password or token from a file of its own, without the mark at the start and the line ending that editors
/// add.
pub fn secret_in(text: &str) -> &str {
    without_byte_order_mark(text).trim_end_matches(['\r', '\n'])
}

/// Returns the text of a file, without a byte-order mark. A text that is not UTF-8 is `InvalidData`, with a message,
/// because letters in another encoding would be read as different ones.
pub fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(invalid("is UTF-16, as PowerShell writes it: save it as UTF-8".to_owned()));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(without_byte_order_mark(&text).to_owned()),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            Err(invalid(format!("line {line} is not UTF-8: save the file as UTF-8")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf_8_or_it_is_said_where_it_is_not() {
        assert_eq!(text_of(b"\xef\xbb\xbfa\r\n".to_vec()).unwrap(), "a\r\n");
        let told = |bytes: &[u8]| text_of(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(told(b"a\nb\xfcro\n"), "line 2 is not UTF-8: save the file as UTF-8");
        assert!(told(b"\xff\xfea\0").contains("UTF-16"));
        assert!(told(b"\xfe\xff\0a").contains("UTF-16"));
    }

    #[test]
    fn a_secret_is_the_same_whatever_wrote_its_file() {
        for text in ["pass word ", "pass word \n", "pass word \r\n", "\u{feff}pass word \r\n"] {
            assert_eq!(secret_in(text), "pass word ");
        }
    }
}
