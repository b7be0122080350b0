//! Tests of a whole kit: its contents and their order, and the location in every file.

use super::location::Location;
use super::rights::UsersMay;
use super::*;
use crate::model::Digest;

fn file(name: &str) -> KitFile {
    KitFile::new(name, 7, Digest::of(name.as_bytes())).unwrap()
}

fn kit_at(location: &str) -> Kit {
    let files = vec![file("win7-office_12.ckm.index"), file("win7-office_12.ckm")];
    Kit::new("win7-office", 12, files, location.parse().unwrap(), UsersMay::Read).unwrap()
}

fn document(kit: &Kit, wanted: &str) -> String {
    let bytes = document_bytes(kit, wanted);
    if !bytes.starts_with(&[0xff, 0xfe]) {
        return String::from_utf8(bytes).unwrap();
    }
    let units = bytes.chunks(2).map(|unit| u16::from_le_bytes(unit.try_into().unwrap()));
    char::decode_utf16(units).map(Result::unwrap).collect()
}

const DOCUMENTS: [&str; 5] = [
    "README.txt",
    "prestage.cmd",
    "prestage.ps1",
    "PrestagedImagesPath-x86.reg",
    "PrestagedImagesPath-x64.reg",
];

#[test]
fn the_index_comes_after_everything_else_and_the_digests_come_last() {
    let kit = kit_at("C:\\");
    let contents = kit.contents();
    let paths: Vec<_> = contents.iter().map(Content::path).collect();
    assert_eq!(paths[..2], ["MED-V Images", "MED-V Images/PrestagedImages"]);
    assert_eq!(paths[2], "MED-V Images/PrestagedImages/win7-office_12.ckm");
    assert_eq!(paths[3..8], DOCUMENTS);
    assert_eq!(paths[8..], ["MED-V Images/PrestagedImages/win7-office_12.ckm.index", "SHA256SUMS"]);
}

#[test]
fn the_digests_are_of_everything_else() {
    let kit = kit_at("C:\\");
    let listed = sums::read(&document(&kit, sums::NAME)).unwrap();
    assert_eq!(listed.len(), 2 + DOCUMENTS.len());
    for (path, digest) in listed {
        if !sums::is_image(&path) {
            assert_eq!(digest, Digest::of(document_bytes(&kit, &path).as_slice()), "{path}");
        }
    }
}

fn document_bytes(kit: &Kit, wanted: &str) -> Vec<u8> {
    let found = kit.contents().into_iter().find_map(|content| match content {
        Content::Document { path, bytes } if path == wanted => Some(bytes),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn no_gap_is_left_and_every_line_ends_as_windows_has_it() {
    let kit = kit_at("C:\\");
    for name in DOCUMENTS {
        let text = document(&kit, name);
        assert!(!text.contains("{{") && !text.contains("}}"), "{name}");
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{name}");
    }
}

#[test]
fn a_location_is_quoted_by_the_rules_of_each_file() {
    let kit = kit_at("D:\\O'Neil’s & Co");
    let place = "\\MED-V Images\\PrestagedImages";
    let command = document(&kit, "prestage.cmd");
    assert!(command.contains(&format!("set \"PRESTAGED=D:\\O'Neil’s & Co{place}\"\r\n")));
    // Each line is read in the code page of that moment.
    let change = command.find("chcp.com\" 65001 >nul\r\n").unwrap();
    assert!(command[..change].is_ascii());
    let power_shell = document(&kit, "prestage.ps1");
    assert!(power_shell.contains(&format!("$Prestaged = 'D:\\O''Neil’’s & Co{place}'\r\n")));
    for registry in ["PrestagedImagesPath-x86.reg", "PrestagedImagesPath-x64.reg"] {
        let text = document(&kit, registry);
        assert!(text.starts_with("\u{feff}Windows Registry Editor Version 5.00\r\n\r\n["));
        assert!(text.contains("=\"D:\\\\O'Neil’s & Co\\\\MED-V Images\\\\PrestagedImages\"\r\n"));
    }
    assert!(document(&kit, "README.txt").contains("VMSFOLDER=\"D:\\O'Neil’s & Co\\MED-V Images\""));
}

#[test]
fn a_batch_file_in_ascii_leaves_the_code_page_alone() {
    let command = document(&kit_at("C:\\Virtual Machines"), "prestage.cmd");
    assert!(command.is_ascii() && !command.contains("chcp"));
}

#[test]
fn both_scripts_set_the_same_rights() {
    let files = || vec![file("x_1.vhdx")];
    for (users_may, letters, mask) in [
        (UsersMay::Read, "(RC,S,RD,REA,RA)", "FR"),
        (UsersMay::ReadAndAppend, "(RC,S,RD,AD,REA,RA)", "0x12008d"),
    ] {
        let kit = Kit::new("x", 1, files(), Location::default(), users_may).unwrap();
        let command = document(&kit, "prestage.cmd");
        let of_inner = command
            .lines()
            .find(|line| line.contains("icacls.exe\" \"%PRESTAGED%\" /inheritance"))
            .unwrap();
        assert!(of_inner.ends_with(&format!("\"*S-1-5-11:(OI)(CI){letters}\"")), "{of_inner}");
        let power_shell = document(&kit, "prestage.ps1");
        assert!(power_shell.contains(&format!(
            "$PrestagedRights = 'O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;{mask};;;AU)'"
        )));
    }
}

#[test]
fn what_windows_would_cut_off_is_refused() {
    let files = || vec![file(&format!("{}_1.vhdx", "x".repeat(100)))];
    let longest = 259 - ("C:\\\\MED-V Images\\PrestagedImages\\_1.vhdx.part".len() + 100);
    for (length, fits) in [(longest, true), (longest + 1, false)] {
        let location = format!("C:\\{}", "ü".repeat(length)).parse().unwrap();
        let kit = Kit::new("x", 1, files(), location, UsersMay::Read);
        assert_eq!(kit.is_ok(), fits, "{length}");
    }
}

#[test]
fn a_name_that_a_script_would_read_otherwise_is_refused() {
    for name in ["", "a b.ckm", "a&b.ckm", "%PATH%.ckm", "..", "a/b.ckm", "-x.ckm", "ü.ckm"] {
        assert!(KitFile::new(name, 1, Digest::of(b"")).is_err(), "{name}");
    }
}
