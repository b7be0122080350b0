//! Tests of what may already be in a kit's folder.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::model::Digest;

fn kit() -> Kit {
    let files = vec![file("a_1.ckm"), file("a_1.ckm.index")];
    Kit::new("a", 1, files, Location::default(), UsersMay::default()).unwrap()
}

fn file(name: &str) -> KitFile {
    KitFile::new(name, name.len() as u64, Digest::of(name.as_bytes())).unwrap()
}

/// Lays out everything, with stand-ins for the files that are fetched.
fn lay_out_documents(folder: &Path) {
    let place = KitFolder::begin(folder, &kit()).unwrap();
    for content in kit().contents() {
        match content {
            Content::Folder(path) => place.make(&path).unwrap(),
            Content::Document { path, bytes } => place.write(path, &bytes).unwrap(),
            Content::File(file) => {
                fs::write(folder.join(file.path()), file.name()).unwrap();
                assert!(place.mark_read_only(&file.path()).unwrap());
            }
        }
    }
}

#[test]
fn a_kit_does_not_look_finished_while_it_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    lay_out_documents(folder.path());
    let place = KitFolder::begin(folder.path(), &kit()).unwrap();
    let is_there = |path: &str| folder.path().join(path).exists();
    assert!(!is_there("SHA256SUMS"));
    let image = "MED-V Images/PrestagedImages/a_1.ckm";
    assert!(is_there(image) && !is_there(&format!("{image}.index")));
    assert!(is_there(&format!("{image}.index.partial")), "it need not be fetched again");
    drop(place);
    lay_out_documents(folder.path());
}

#[test]
fn what_a_killed_run_has_left_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let victim = tempfile::NamedTempFile::new().unwrap();
    fs::write(victim.path(), "somebody's").unwrap();
    symlink(victim.path(), folder.path().join("prestage.ps1.partial")).unwrap();
    let left = folder.path().join("prestage.cmd.partial");
    fs::write(&left, "half").unwrap();
    fs::set_permissions(&left, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    lay_out_documents(folder.path());
    assert!(!left.exists());
    assert_eq!(fs::read_to_string(victim.path()).unwrap(), "somebody's");
}

#[test]
fn what_is_not_of_the_kit_is_named_and_left_alone() {
    for other in ["notes.txt", "README.txt.bak", "MED-V Images/x.ckm", "README.txt", "SHA256SUMS"] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("MED-V Images")).unwrap();
        fs::write(folder.path().join(other), "somebody's").unwrap();
        let refused = KitFolder::begin(folder.path(), &kit()).err().unwrap();
        assert_eq!(refused.exit(), Exit::Conflict);
        assert!(refused.to_string().contains(other), "{refused}");
        assert_eq!(fs::read_to_string(folder.path().join(other)).unwrap(), "somebody's");
    }
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(elsewhere.path(), folder.path().join("MED-V Images")).unwrap();
    assert!(KitFolder::begin(folder.path(), &kit()).is_err(), "a link in the place of a folder");
}

#[test]
fn another_revisions_kit_is_not_made_this_one() {
    let folder = tempfile::tempdir().unwrap();
    lay_out_documents(folder.path());
    let other =
        Kit::new("a", 2, vec![file("a_1.ckm")], Location::default(), UsersMay::default()).unwrap();
    assert!(KitFolder::begin(folder.path(), &other).is_err());
    assert!(folder.path().join("SHA256SUMS").exists());
}

#[test]
fn two_runs_keep_off_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let first = KitFolder::begin(folder.path(), &kit()).unwrap();
    let second = KitFolder::begin(folder.path(), &kit()).err().unwrap();
    assert!(second.to_string().contains("another prestage"), "{second}");
    drop(first);
    KitFolder::begin(folder.path(), &kit()).unwrap();
}
