//! `SHA256SUMS`: the digests of everything else in a kit, in the format of `sha256sum -c`.

use super::folders::PRESTAGED;
use super::unfit::Unfit;
use crate::model::Digest;

pub const NAME: &str = "SHA256SUMS";

/// Reports whether a file is the index of a `.ckm`.
pub fn is_index(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    std::path::Path::new(&name).extension().is_some_and(|extension| extension == "index")
}

/// Returns the names that the index of a `.ckm` may have, or none if the file is not a `.ckm`.
pub fn indexes_of(name: &str) -> Option<[String; 2]> {
    let stem = name.get(..name.len().checked_sub(4)?)?;
    let is_ckm = name[stem.len()..].eq_ignore_ascii_case(".ckm");
    is_ckm.then(|| [format!("{name}.index"), format!("{stem}.index")])
}

/// Lists the revision's files, whose digests are known, and the documents made beside them.
pub(super) fn write(
    files: impl Iterator<Item = (String, Digest)>,
    documents: &[(&str, Vec<u8>)],
) -> Vec<u8> {
    let made = documents.iter().map(|(path, bytes)| ((*path).to_owned(), Digest::of(bytes)));
    let lines = files.chain(made).map(|(path, digest)| format!("{}  {path}\n", digest.to_hex()));
    lines.collect::<String>().into_bytes()
}

/// Reads such a file: paths relative to it, with their digests.
///
/// # Errors
///
/// Fails for an invalid line, a path that is listed twice, a list without an image, and a path that leads elsewhere: a
/// list must not make anybody read files outside its folder.
pub fn read(text: &str) -> Result<Vec<(String, Digest)>, Unfit> {
    let mut entries: Vec<(String, Digest)> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let entry = entry(line).filter(|(path, _)| !entries.iter().any(|(known, _)| known == path));
        entries.push(entry.ok_or_else(|| no_entry(number + 1))?);
    }
    if !entries.iter().any(|(path, _)| is_image(path)) {
        return Err(Unfit(format!("{NAME} lists no file in {PRESTAGED}")));
    }
    Ok(entries)
}

fn entry(line: &str) -> Option<(String, Digest)> {
    let (digits, path) = line.split_at_checked(64)?;
    // A space, then a space or the star of a file that was read as binary.
    let path = path.strip_prefix("  ").or_else(|| path.strip_prefix(" *"))?;
    let inside = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\\');
    if !path.split('/').all(inside) || path.contains(char::is_control) {
        return None;
    }
    Some((path.to_owned(), format!("sha256:{digits}").parse().ok()?))
}

fn no_entry(line: usize) -> Unfit {
    Unfit(format!("line {line} of {NAME} is not a digest and the path of a file in the kit"))
}

/// Reports whether the file is in the folder in which clients look for images.
pub fn is_image(path: &str) -> bool {
    path.split('/').rev().nth(1).is_some_and(|folder| folder.eq_ignore_ascii_case(PRESTAGED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_leads_elsewhere_is_refused() {
        let digits = "a".repeat(64);
        for line in [
            "x",
            &digits,
            &format!("{digits} x"),
            &format!("{digits}  /etc/passwd"),
            &format!("{digits}  a/../../b"),
            &format!("{digits}  ..\\b"),
            &format!("{digits}  "),
            &format!("{}  x", "g".repeat(64)),
            &format!("{}  x", "ä".repeat(32)),
            &format!("{digits}  PrestagedImages/fine"),
        ] {
            let text = format!("{digits}  PrestagedImages/fine\n{line}\n");
            let refused = read(&text).unwrap_err().to_string();
            assert!(refused.starts_with("line 2 "), "{line}: {refused}");
        }
        let listed = read(&format!("{digits} *a b/PrestagedImages/c\n\n")).unwrap();
        assert_eq!(listed[0].0, "a b/PrestagedImages/c");
    }

    #[test]
    fn an_index_belongs_to_its_ckm_in_either_spelling() {
        assert_eq!(indexes_of("a_1.CKM").unwrap(), ["a_1.CKM.index", "a_1.index"]);
        assert_eq!(indexes_of("a.vhdx"), None);
        assert_eq!(indexes_of("x"), None);
        assert!(is_index("a.ckm.INDEX") && !is_index("a.ckm"));
    }
}
