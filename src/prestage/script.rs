//! The texts that the user at the client computer runs and reads. Their templates are in `templates/`.
//!
//! Two scripts do the same job: a batch file, which runs on every computer, and one for PowerShell, which is the only
//! kind that some organisations allow. Each has its own rules for quoting the location.

use super::kit::{Kit, KitFile};
use super::registry::{X64, X86, add};
use super::rights::UsersMay;
use super::template::fill;

/// Switches a batch file to UTF-8. Each line of a batch file is read in the console's code page at that moment. A
/// location beyond ASCII needs UTF-8, and a system that does not switch would create a folder with another name. The
/// probe is one letter with three bytes in UTF-8, which are two or more letters in any other code page. This text is
/// left out if the location is ASCII, because Windows XP ends a batch file here.
const UTF_8: &str = "\
\"%SystemRoot%\\System32\\chcp.com\" 65001 >nul
set \"STEP=this system does not read batch files in UTF-8, which the location needs; run prestage.ps1\"
set \"LETTER=€\"
if not \"%LETTER:~1%\"==\"\" goto failed
";

/// The byte order mark. Without it, older PowerShell and Notepad read the file in the system's code page.
const MARK: &str = "\u{feff}";

pub(super) fn command(kit: &Kit) -> Vec<u8> {
    let files: String = kit.files.iter().map(place).collect();
    let text = filled(
        kit,
        include_str!("templates/prestage.cmd"),
        &[
            ("CODE_PAGE", if kit.location.is_ascii() { "" } else { UTF_8 }),
            ("IMAGES", &kit.location.images()),
            ("PRESTAGED", &kit.location.prestaged()),
            ("IMAGES_RIGHTS", &UsersMay::ReadAndAppend.icacls()),
            ("PRESTAGED_RIGHTS", &kit.users_may.icacls()),
            ("FILES", &files),
            ("INDEX", index_of(kit)),
        ],
    );
    // No byte order mark: the shell would take it for a part of the first command.
    with_crlf(&text)
}

fn index_of(kit: &Kit) -> &str {
    kit.files.iter().find(|file| file.is_index()).map_or("", KitFile::name)
}

fn place(file: &KitFile) -> String {
    let (name, digest) = (&file.name, file.digest.to_hex());
    format!(
        "set \"NAME={name}\"\nset \"HASH={digest}\"\ncall :place\nif not \"%errorlevel%\"==\"0\" goto failed\n"
    )
}

pub(super) fn power_shell(kit: &Kit) -> Vec<u8> {
    let entry = |file: &KitFile| {
        format!("    @{{ Name = '{}'; Digest = '{}' }}", file.name, file.digest.to_hex())
    };
    let files: Vec<_> = kit.files.iter().map(entry).collect();
    let text = filled(
        kit,
        include_str!("templates/prestage.ps1"),
        &[
            ("IMAGES", &literal(&kit.location.images())),
            ("PRESTAGED", &literal(&kit.location.prestaged())),
            ("IMAGES_RIGHTS", &UsersMay::ReadAndAppend.sddl()),
            ("PRESTAGED_RIGHTS", &kit.users_may.sddl()),
            ("FILES", &files.join("\n")),
            ("INDEX", index_of(kit)),
        ],
    );
    with_crlf(&format!("{MARK}{text}"))
}

/// Quotes a PowerShell string in which nothing is substituted. PowerShell takes typographic apostrophes as quotes too;
/// a doubled one stands for itself.
fn literal(text: &str) -> String {
    let mut quoted = String::from("'");
    for letter in text.chars() {
        quoted.push(letter);
        if matches!(letter, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(letter);
        }
    }
    quoted + "'"
}

pub(super) fn read_me(kit: &Kit) -> Vec<u8> {
    let title = kit.title();
    let text = filled(
        kit,
        include_str!("templates/README.txt"),
        &[
            ("TITLE", &title),
            ("UNDERLINE", &"=".repeat(title.len())),
            ("IMAGES", &kit.location.images()),
            ("PRESTAGED", &kit.location.prestaged()),
            ("IMAGES_RIGHTS", &UsersMay::ReadAndAppend.icacls()),
            ("PRESTAGED_RIGHTS", &kit.users_may.icacls()),
            ("APPEND", if kit.users_may == UsersMay::Read { "" } else { " --users-may-append" }),
            ("ADD_X86", &add(X86, &kit.location)),
            ("ADD_X64", &add(X64, &kit.location)),
        ],
    );
    with_crlf(&format!("{MARK}{text}"))
}

fn filled(kit: &Kit, template: &str, values: &[(&str, &str)]) -> String {
    let revision = kit.revision.to_string();
    let mut all = vec![("IMAGE", kit.image.as_str()), ("REVISION", revision.as_str())];
    all.extend_from_slice(values);
    fill(template, &all)
}

fn with_crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}
