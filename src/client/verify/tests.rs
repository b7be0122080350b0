//! Tests of kits that were changed.

use std::fs::Permissions;

use super::*;
use crate::prestage::location::Location;
use crate::prestage::rights::UsersMay;
use crate::prestage::{Content, Kit, KitFile};

const FOLDER: &str = "MED-V Images/PrestagedImages";
const CKM: &str = "MED-V Images/PrestagedImages/a_1.ckm";
const INDEX: &str = "MED-V Images/PrestagedImages/a_1.ckm.index";

/// A change in a kit's folder, and the finding it must lead to.
type Happening<'a> = (&'a dyn Fn(&Path), Kind, &'a str);

/// Creates a kit of these files on a disk; the bytes of each file are its name.
fn kit(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = names
        .iter()
        .map(|name| KitFile::new(*name, name.len() as u64, Digest::of(name.as_bytes())).unwrap());
    let kit = Kit::new("a", 1, files.collect(), Location::default(), UsersMay::default()).unwrap();
    for content in kit.contents() {
        match content {
            Content::Folder(path) => fs::create_dir(folder.path().join(path)).unwrap(),
            Content::File(file) => write(folder.path(), &file.path(), file.name().as_bytes()),
            Content::Document { path, bytes } => write(folder.path(), path, &bytes),
        }
    }
    folder
}

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    if path.exists() {
        fs::remove_file(&path).unwrap();
    }
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
}

fn found(folder: &Path) -> Vec<(Kind, String)> {
    let report = look(folder, &Progress::hidden()).unwrap();
    report.findings.into_iter().map(|finding| (finding.finding, finding.path)).collect()
}

fn one(kind: Kind, path: &str) -> Vec<(Kind, String)> {
    vec![(kind, path.to_owned())]
}

#[test]
fn each_thing_that_happens_to_a_kit_is_found_once() {
    let happenings: [Happening<'_>; 11] = [
        (
            &|folder| {
                fs::set_permissions(folder.join("SHA256SUMS"), Permissions::from_mode(0o666))
                    .unwrap();
            },
            Kind::Writable,
            "SHA256SUMS",
        ),
        (
            &|folder| {
                fs::set_permissions(folder.join(FOLDER), Permissions::from_mode(0o777)).unwrap();
            },
            Kind::Writable,
            FOLDER,
        ),
        (&|folder| fs::create_dir(folder.join("other")).unwrap(), Kind::Extra, "other/"),
        (
            &|folder| {
                let twice = fs::read(folder.join("README.txt")).unwrap();
                write(folder, "README2.txt", &twice);
            },
            Kind::Extra,
            "README2.txt",
        ),
        (&|folder| write(folder, CKM, b"a_1.ckn"), Kind::Changed, CKM),
        (&|folder| write(folder, "prestage.cmd", b"format c:"), Kind::Changed, "prestage.cmd"),
        (&|folder| fs::remove_file(folder.join(CKM)).unwrap(), Kind::Missing, CKM),
        (&|folder| fs::remove_file(folder.join(INDEX)).unwrap(), Kind::Missing, INDEX),
        (
            &|folder| write(folder, &format!("{FOLDER}/notes.txt"), b""),
            Kind::Extra,
            "MED-V Images/PrestagedImages/notes.txt",
        ),
        (
            &|folder| fs::set_permissions(folder.join(CKM), Permissions::from_mode(0o464)).unwrap(),
            Kind::Writable,
            CKM,
        ),
        (
            &|folder| {
                fs::remove_file(folder.join(CKM)).unwrap();
                std::os::unix::fs::symlink("/etc/hostname", folder.join(CKM)).unwrap();
            },
            Kind::Unreadable,
            CKM,
        ),
    ];
    for (happens, kind, path) in happenings {
        let folder = kit(&["a_1.ckm", "a_1.ckm.index"]);
        assert_eq!(found(folder.path()), []);
        happens(folder.path());
        assert_eq!(found(folder.path()), one(kind, path));
    }
}

#[test]
fn a_ckm_without_its_index_is_found_though_nothing_lists_that() {
    assert_eq!(found(kit(&["a_1.ckm"]).path()), one(Kind::Unpaired, CKM));
    assert_eq!(found(kit(&["a_1.ckm.index"]).path()), one(Kind::Unpaired, INDEX));
    assert_eq!(found(kit(&["a_1.ckm", "a_1.index"]).path()), []);
    assert_eq!(found(kit(&["a_1.vhdx"]).path()), []);
}

#[test]
fn a_kit_that_was_not_finished_is_none() {
    let folder = kit(&["a_1.ckm", "a_1.ckm.index"]);
    fs::remove_file(folder.path().join(sums::NAME)).unwrap();
    let found = found(folder.path());
    assert_eq!(found[0], (Kind::Missing, sums::NAME.to_owned()));
    assert!(found[1..].iter().all(|(kind, _)| *kind == Kind::Extra));
}

#[test]
fn a_list_that_leads_elsewhere_is_not_followed() {
    let folder = kit(&["a_1.vhdx"]);
    write(folder.path(), sums::NAME, format!("{}  ../x\n", "a".repeat(64)).as_bytes());
    assert_eq!(found(folder.path())[0], (Kind::Changed, sums::NAME.to_owned()));
}

#[test]
fn a_list_that_says_nothing_of_an_image_is_none_of_a_kit() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", &format!("{}  notes.txt\n", "a".repeat(64))] {
        write(folder.path(), sums::NAME, text.as_bytes());
        assert_eq!(found(folder.path())[0], (Kind::Changed, sums::NAME.to_owned()), "{text:?}");
    }
    write(folder.path(), sums::NAME, b"\xff\xfe");
    assert_eq!(found(folder.path())[0], (Kind::Changed, sums::NAME.to_owned()));
}
