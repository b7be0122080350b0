//! Sizes on the command line: `500GB`, `20GiB`, `1000000`.

/// The units, each with its number of bytes.
const UNITS: [(&str, u64); 9] = [
    ("kb", 1000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("b", 1),
];

/// Reads a size, in bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = (&lower[..digits], lower[digits..].trim());
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
    let unit = if lower.len() == digits { Some(1) } else { unit };
    let bytes = number.parse::<u64>().ok().zip(unit);
    let bytes = bytes.and_then(|(number, unit)| number.checked_mul(unit));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a size such as 500GB or 20GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_both_kinds() {
        for (text, bytes) in
            [("500GB", 500_000_000_000), ("20 GiB", 20 << 30), ("7", 7), ("1kib", 1024)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "GB", "-1", "1.5GB", "9 parsecs", "99999999999999999TB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
