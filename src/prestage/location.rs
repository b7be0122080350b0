//! The folder of a client computer in which the kit's folders will be.
//!
//! The path goes into scripts, registry values and command lines of a system that cannot quote everything. So this
//! module refuses what Windows does not accept as a path, and texts that look different from what they are.

use std::str::FromStr;

use super::folders::{IMAGES, PRESTAGED};
use super::unfit::Unfit;
use crate::model::name::is_device_name;

/// A folder on a client computer's disk that contains `MED-V Images`. Written as `C:\…`, without a `\` at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(String);

impl Location {
    /// Returns the folder of all images, `C:\MED-V Images`: the installer's `VMSFOLDER`.
    pub fn images(&self) -> String {
        format!("{}\\{IMAGES}", self.0)
    }

    /// Returns the folder of the first image: the registry's `PrestagedImagesPath`.
    pub fn prestaged(&self) -> String {
        format!("{}\\{PRESTAGED}", self.images())
    }

    pub(super) fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

impl Default for Location {
    fn default() -> Self {
        Self("C:".to_owned())
    }
}

impl FromStr for Location {
    type Err = Unfit;

    /// Parses `C:\`, `C:/Depot`, and also what MED-V's documents call the location: `C:\MED-V Images` and the folder in
    /// it.
    fn from_str(text: &str) -> Result<Self, Unfit> {
        let refused = |why: &str| Err(Unfit(format!("the location {} {why}", shown(text))));
        let text_given = text.replace('/', "\\");
        if text_given.starts_with("\\\\") {
            return refused(
                "begins with \\\\, as network and device paths do; pre-staged images must be on a disk, such as C:\\",
            );
        }
        let mut parts: Vec<&str> = text_given.split('\\').collect();
        if parts.len() < 2 || !is_drive(parts[0]) {
            return refused(
                "is not an absolute path of Windows, such as C:\\ or D:\\Virtual Machines",
            );
        }
        if parts.last() == Some(&"") {
            parts.pop();
        }
        if let Some(why) = parts.iter().skip(1).find_map(|part| wrong_with(part)) {
            return refused(why);
        }
        for name in [PRESTAGED, IMAGES] {
            let is_last = parts.len() > 1
                && parts.last().is_some_and(|part| part.eq_ignore_ascii_case(name))
                && (name == IMAGES || is_in_images(&parts));
            if is_last {
                parts.pop();
            }
        }
        Ok(Self(parts.join("\\")))
    }
}

/// Quotes a text. Backslashes are not escaped, unless the text contains invisible characters.
fn shown(text: &str) -> String {
    if text.contains(is_unseen) { format!("{text:?}") } else { format!("\"{text}\"") }
}

fn is_in_images(parts: &[&str]) -> bool {
    parts.len() > 2 && parts[parts.len() - 2].eq_ignore_ascii_case(IMAGES)
}

fn is_drive(part: &str) -> bool {
    matches!(part.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

/// Returns why a part cannot be a folder's name (Windows: "Naming Files, Paths, and Namespaces").
fn wrong_with(part: &str) -> Option<&'static str> {
    if part.is_empty() {
        return Some("has two separators in a row");
    }
    if part.contains(['\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}']) {
        return Some("has typographic quotation marks, as pasted texts often do; leave them out");
    }
    if part.contains(['<', '>', ':', '"', '|', '?', '*']) {
        return Some("has one of < > : \" | ? * in it, which Windows does not allow in names");
    }
    if part.contains('%') {
        return Some("has a % in it, which command prompts replace; choose another folder");
    }
    if part.contains(is_unseen) {
        return Some("has an invisible character in it, such as a line break");
    }
    if part.ends_with(|letter: char| letter == '.' || letter.is_whitespace()) {
        return Some("has a folder whose name ends in a dot or a space, which Windows drops");
    }
    if part.encode_utf16().count() > 255 {
        return Some("has a folder with a name of more than 255 characters");
    }
    is_device(part).then_some("has a folder with the name of a device, such as CON")
}

/// Reports whether a name is a device's. Names with spaces before the extension or with superscript digits are devices
/// too, and so are the console's.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end();
    let console = ["CONIN$", "CONOUT$"].iter().any(|name| stem.eq_ignore_ascii_case(name));
    let digits = stem.replace('\u{b9}', "1").replace('\u{b2}', "2").replace('\u{b3}', "3");
    console || is_device_name(&digits)
}

/// Reports whether a character is invisible: a control character, a line separator, or a mark that reverses the text.
fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prestaged(text: &str) -> String {
        text.parse::<Location>().unwrap().prestaged()
    }

    #[test]
    fn the_two_folders_are_added_unless_they_are_named() {
        for text in [
            "C:\\",
            "C:/",
            "C:\\MED-V Images",
            "c:\\med-v images\\".to_uppercase().as_str(),
            "C:\\MED-V Images\\PrestagedImages",
        ] {
            assert_eq!(prestaged(text), "C:\\MED-V Images\\PrestagedImages", "{text}");
        }
        assert_eq!(Location::default(), "C:\\".parse().unwrap());
        assert_eq!(
            prestaged("D:\\PrestagedImages"),
            "D:\\PrestagedImages\\MED-V Images\\PrestagedImages"
        );
    }

    #[test]
    fn what_windows_takes_comes_through() {
        for text in ["D:\\Büro & Co, 100", "d:\\O'Neil's (old)\\^x;y!", "E:\\образы\\图像\\🙂"]
        {
            assert_eq!(prestaged(text), format!("{text}\\MED-V Images\\PrestagedImages"));
        }
    }

    #[test]
    fn what_is_no_path_of_a_disk_is_refused_in_words() {
        for (text, word) in [
            ("", "absolute"),
            ("C:", "absolute"),
            ("C:MED-V", "absolute"),
            ("MED-V Images", "absolute"),
            ("/var/lib", "absolute"),
            ("\\\\server\\share", "network"),
            ("//server/share", "network"),
            ("C:\\a\\\\b", "two separators"),
            ("C:\\a\\..\\b", "dot"),
            ("C:\\a.", "dot"),
            ("C:\\a \\b", "space"),
            ("C:\\a\"b", "\" | ?"),
            ("C:\\\u{201c}MED-V Images\u{201d}", "typographic"),
            ("C:\\a\nb", "invisible character"),
            ("C:\\a\u{202e}b", "invisible character"),
            ("C:\\con\\b", "device"),
            ("C:\\nul.txt", "device"),
            ("C:\\con .txt", "device"),
            ("C:\\com\u{b9}", "device"),
            ("C:\\conin$\\a", "device"),
            ("C:\\a\u{a0}", "space"),
            ("C:\\a\u{ad}b", "invisible character"),
            ("\\\\?\\C:\\a", "device paths"),
            ("C:\\a:b", "Windows does not allow"),
            ("C:\\100%", "command prompts"),
        ] {
            let refused = text.parse::<Location>().unwrap_err().to_string();
            assert!(refused.contains(word), "{text:?}: {refused}");
        }
        let long = format!("C:\\{}", "x".repeat(256));
        assert!(long.parse::<Location>().is_err());
    }
}
