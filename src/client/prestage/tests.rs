//! What may already be in a kit's folder.

use super::folder::{begin, make, write};
use super::*;

fn contents() -> Vec<Content<'static>> {
    vec![
        Content::Folder("MED-V Images".to_owned()),
        Content::Document { path: "README.txt", bytes: b"words".to_vec() },
        Content::Document { path: "SHA256SUMS", bytes: Vec::new() },
    ]
}

#[test]
fn a_kit_does_not_look_finished_while_it_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &contents()).unwrap();
    make(&folder.path().join("MED-V Images")).unwrap();
    write(folder.path(), "README.txt", b"words").unwrap();
    write(folder.path(), "SHA256SUMS", b"").unwrap();
    std::fs::write(folder.path().join("README.txt.partial"), b"wo").unwrap();
    begin(folder.path(), &contents()).unwrap();
    assert!(!folder.path().join("SHA256SUMS").exists());
    write(folder.path(), "README.txt", b"other words").unwrap();
    assert!(!folder.path().join("README.txt.partial").exists());
    assert_eq!(std::fs::read(folder.path().join("README.txt")).unwrap(), b"other words");
}

#[test]
fn what_is_not_of_the_kit_is_named_and_left_alone() {
    for other in ["notes.txt", "README.txt.bak", "MED-V Images/x.ckm"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("MED-V Images")).unwrap();
        std::fs::write(folder.path().join(other), b"x").unwrap();
        std::fs::write(folder.path().join("SHA256SUMS"), b"x").unwrap();
        let refused = begin(folder.path(), &contents()).unwrap_err();
        assert_eq!(refused.exit(), Exit::Conflict);
        assert!(refused.to_string().contains(other), "{refused}");
        assert!(folder.path().join("SHA256SUMS").exists());
    }
}
