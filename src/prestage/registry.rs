//! The registry value that points a client to its first image.
//!
//! The client is a 32-bit program: on x64 its branch of the registry is `WOW6432Node`.

use super::location::Location;

pub(super) const X86: &str = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Kidaro";
pub(super) const X64: &str = "HKEY_LOCAL_MACHINE\\SOFTWARE\\WOW6432Node\\Kidaro";

const VALUE: &str = "PrestagedImagesPath";

/// Returns a file for `reg import`: UTF-16LE with byte order mark and CRLF, as version 5.00 demands.
pub(super) fn file(key: &str, location: &Location) -> Vec<u8> {
    let path = location.prestaged().replace('\\', "\\\\");
    let text = format!(
        "\u{feff}Windows Registry Editor Version 5.00\r\n\r\n[{key}]\r\n\"{VALUE}\"=\"{path}\"\r\n\r\n"
    );
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Returns the command that sets the value on one kind of computer.
pub(super) fn add(key: &str, location: &Location) -> String {
    let key = key.replace("HKEY_LOCAL_MACHINE", "HKLM");
    format!("reg add \"{key}\" /v {VALUE} /t REG_SZ /d \"{}\" /f", location.prestaged())
}
