//! PEM as people and programs write it (RFC 7468, section 3, and older forms). All sections of a text are found, or an
//! error is reported.
//!
//! Bundles are made by hand: `cat a.pem b.pem` where the first file lacks its last newline, an editor that begins files
//! with a byte-order mark, Windows line endings, text between the sections. Parsers that work on whole lines silently
//! skip the section that is affected by this. The contents of the sections are parsed elsewhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::text_file::BYTE_ORDER_MARK;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// The label of a certificate; older programs wrote the other two (RFC 7468, section 5.1).
pub const CERTIFICATE: &str = "CERTIFICATE";
const OLD_NAMES: [&str; 2] = ["X509 CERTIFICATE", "X.509 CERTIFICATE"];

/// One section, from `BEGIN` to `END`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The label, such as `CERTIFICATE`, `X509 CRL` or `PRIVATE KEY`.
    pub label: String,
    pub content: Content,
    /// The line on which the section begins, counted from 1.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Der(Vec<u8>),
    /// The section is encrypted with a password, in the old form that says so in lines of its own (RFC 1421).
    Encrypted,
}

/// The reason why a text cannot be read, with the line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PemError {
    #[error("it is UTF-16, as PowerShell's `>` writes: save it as ASCII or UTF-8")]
    Utf16,
    #[error("line {line}: `BEGIN {label}` has no `END {label}`")]
    NoEnd { line: usize, label: String },
    #[error("line {line}: an `END` without its `BEGIN`")]
    NoBegin { line: usize },
    #[error("line {line}: `BEGIN` or `END` without a label and five dashes after it")]
    NoLabel { line: usize },
    #[error("line {line}: the contents of `{label}` are not base64")]
    NotBase64 { line: usize, label: String },
    #[error(
        "line {line}: `{label}` is not supported; convert it to `CERTIFICATE` (`openssl x509`, `openssl pkcs7`)"
    )]
    OtherForm { line: usize, label: String },
}

/// Returns the certificates of a bundle, each with the line on which it begins. Other sections, such as a key or a
/// request, are allowed and ignored. A certificate in an unsupported form is an error: if it were skipped, an authority
/// would be missing.
pub fn certificates(bytes: &[u8]) -> Result<Vec<(usize, Vec<u8>)>, PemError> {
    let mut found = Vec::new();
    for Section { label, content, line } in sections(bytes)? {
        match (label.as_str(), content) {
            (CERTIFICATE, Content::Der(der)) => found.push((line, der)),
            ("TRUSTED CERTIFICATE" | "PKCS7" | "CMS", _) => {
                return Err(PemError::OtherForm { line, label });
            }
            _ => (),
        }
    }
    Ok(found)
}

/// Returns all sections in their order; the list is empty if the text has no `BEGIN`.
pub fn sections(bytes: &[u8]) -> Result<Vec<Section>, PemError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(PemError::Utf16);
    }
    // In a text that was joined from several files, marks are also in the middle. Text around the sections may have any
    // encoding; the sections themselves are ASCII.
    let text = String::from_utf8_lossy(bytes)
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace(BYTE_ORDER_MARK, "");
    let mut sections = Vec::new();
    let mut open: Option<(usize, String, Vec<&str>)> = None;
    for (number, line) in text.split('\n').enumerate().map(|(index, line)| (index + 1, line)) {
        for piece in pieces(line) {
            if let Some(rest) = piece.strip_prefix(BEGIN) {
                if let Some((line, label, _)) = open {
                    return Err(PemError::NoEnd { line, label });
                }
                open = Some((number, label(rest, number)?, Vec::new()));
            } else if let Some(rest) = piece.strip_prefix(END) {
                let Some((line, begun, lines)) = open.take() else {
                    return Err(PemError::NoBegin { line: number });
                };
                if label(rest, number)? != begun {
                    return Err(PemError::NoEnd { line, label: begun });
                }
                sections.push(section(line, begun, &lines)?);
            } else if let Some((_, _, lines)) = &mut open {
                lines.push(piece);
            }
        }
    }
    match open {
        Some((line, label, _)) => Err(PemError::NoEnd { line, label }),
        None => Ok(sections),
    }
}

/// Splits a line at each `BEGIN` and `END`, because one may directly follow the dashes of another. The five dashes that
/// end a `BEGIN` or `END` stay with it.
fn pieces(line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let marker = |text: &str| [text.find(BEGIN), text.find(END)].into_iter().flatten().min();
        let length = match marker(rest) {
            None => rest.len(),
            Some(0) => {
                let words = rest.find(' ').map_or(rest.len(), |space| space + 1);
                rest[words..]
                    .find(DASHES)
                    .map_or(rest.len(), |dashes| words + dashes + DASHES.len())
            }
            Some(next) => next,
        };
        let (piece, behind) = rest.split_at(length);
        pieces.push(piece.trim());
        rest = behind.trim_start();
    }
    pieces
}

/// Returns `CERTIFICATE` for `CERTIFICATE-----`.
fn label(rest: &str, line: usize) -> Result<String, PemError> {
    match rest.strip_suffix(DASHES).map(str::trim) {
        Some(label) if !label.is_empty() => Ok(label.to_owned()),
        _ => Err(PemError::NoLabel { line }),
    }
}

fn section(line: usize, label: String, lines: &[&str]) -> Result<Section, PemError> {
    let content = if lines.iter().any(|line| line.contains(':')) {
        Content::Encrypted
    } else {
        let base64: String = lines.iter().flat_map(|line| line.split_whitespace()).collect();
        match STANDARD.decode(base64) {
            Ok(der) => Content::Der(der),
            Err(_) => return Err(PemError::NotBase64 { line, label }),
        }
    };
    let is_old = OLD_NAMES.contains(&label.as_str());
    Ok(Section { label: if is_old { CERTIFICATE.to_owned() } else { label }, content, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----";
    const TWO: &str = "-----BEGIN X509 CRL-----\nBAUG\nBwg=\n-----END X509 CRL-----";

    fn found(text: &str) -> Vec<(String, Vec<u8>, usize)> {
        let parts =
            sections(text.as_bytes()).unwrap().into_iter().map(|section| match section.content {
                Content::Der(der) => (section.label, der, section.line),
                Content::Encrypted => panic!("encrypted"),
            });
        parts.collect()
    }

    fn both(second_line: usize) -> Vec<(String, Vec<u8>, usize)> {
        vec![
            ("CERTIFICATE".to_owned(), vec![1, 2, 3], 1),
            ("X509 CRL".to_owned(), vec![4, 5, 6, 7, 8], second_line),
        ]
    }

    #[test]
    fn all_sections_of_a_bundle_are_found_however_it_was_put_together() {
        assert_eq!(found(&format!("{ONE}\n{TWO}\n")), both(4));
        assert_eq!(found(&format!("{ONE}{TWO}")), both(3), "no newline between");
        assert_eq!(found(&format!("\u{feff}{ONE}\n\u{feff}{TWO}")), both(4), "byte-order marks");
        assert_eq!(found(&format!("{ONE}\n{TWO}\n").replace('\n', "\r\n")), both(4), "CRLF");
        assert_eq!(found(&format!("{ONE}\n{TWO}\n").replace('\n', "\r")), both(4), "CR");
        assert_eq!(
            found(&format!("{ONE}\nsubject=/CN=x: y\n\n{TWO}\nbye")),
            both(6),
            "text between"
        );
        assert_eq!(
            found(&format!("  {ONE}  \n\t{TWO}").replace("AQID", " AQ ID ")),
            both(4),
            "spaces"
        );
        assert_eq!(found("no PEM at all"), []);
    }

    #[test]
    fn what_is_cut_or_mixed_up_is_refused_with_its_line() {
        let cut = format!("{ONE}\n-----BEGIN CERTIFICATE-----\nAQID\n");
        assert_eq!(
            sections(cut.as_bytes()).unwrap_err().to_string(),
            "line 4: `BEGIN CERTIFICATE` has no `END CERTIFICATE`"
        );
        let unclosed = format!("-----BEGIN CERTIFICATE-----\nAQID\n{ONE}");
        assert_eq!(
            sections(unclosed.as_bytes()),
            Err(PemError::NoEnd { line: 1, label: "CERTIFICATE".to_owned() })
        );
        assert_eq!(sections(b"\n-----END CERTIFICATE-----"), Err(PemError::NoBegin { line: 2 }));
        assert_eq!(sections(b"-----BEGIN CERTIFICATE\nAQID"), Err(PemError::NoLabel { line: 1 }));
        for garbage in ["AQI", "A*ID"] {
            let text = ONE.replace("AQID", garbage);
            assert_eq!(
                sections(text.as_bytes()),
                Err(PemError::NotBase64 { line: 1, label: "CERTIFICATE".to_owned() })
            );
        }
        assert_eq!(sections(&[0xff, 0xfe, b'-', 0]), Err(PemError::Utf16));
    }

    #[test]
    fn a_bundle_s_certificates_are_taken_and_none_in_another_form_is_missed() {
        let old = ONE.replace("CERTIFICATE", "X509 CERTIFICATE");
        let found = certificates(format!("{ONE}\n{TWO}\n{old}").as_bytes()).unwrap();
        assert_eq!(found, [(1, vec![1, 2, 3]), (8, vec![1, 2, 3])]);
        let trusted = ONE.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
        let refused = certificates(format!("{ONE}\n{trusted}").as_bytes());
        let label = "TRUSTED CERTIFICATE".to_owned();
        assert_eq!(refused, Err(PemError::OtherForm { line: 4, label }));
    }

    #[test]
    fn an_old_key_with_a_password_is_known_as_one() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(sections(text.as_bytes()).unwrap()[0].content, Content::Encrypted);
    }
}
