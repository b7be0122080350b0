//! Texts with placeholders: `{{NAME}}` stands for a value.
//!
//! All placeholders are filled in one pass, so a value that looks like a placeholder is not replaced. A template
//! library was rejected: nothing but this would be used of it.

/// Fills every placeholder. One without a value stays, and a test finds it.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let gap = after.split_once("}}").and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, after))
        });
        if let Some((value, after)) = gap {
            filled.push_str(value);
            rest = after;
        } else {
            filled.push_str("{{");
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_looks_like_a_gap_stays_what_it_is() {
        let filled = fill("{{A}} and {{B}}, {{C}} {{", &[("A", "{{B}}"), ("B", "b")]);
        assert_eq!(filled, "{{B}} and b, {{C}} {{");
    }
}
