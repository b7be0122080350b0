//! Texts and patterns with `*`, written as patterns of SQL's `like`. Each is followed by [`ESCAPE`] in its statement.

/// Ends a condition with `like`: `\` stands before characters that are meant as they are.
pub const ESCAPE: &str = " escape '\\'";

/// Writes a text, in lower case, so that `like` takes each of its characters as it is.
pub fn escaped(text: &str) -> String {
    text.to_ascii_lowercase().replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

/// Writes a pattern, in lower case, in which `*` stands for any run of characters.
pub fn like(pattern: &str) -> String {
    escaped(pattern).replace('*', "%")
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn only_stars_are_wild() {
        assert_eq!(like("PC_1*%"), r"pc\_1%\%");
    }
}
