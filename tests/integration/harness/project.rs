//! The paths of the project and of the program that is tested.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The project's folder.
pub fn project() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("a package within the project").to_owned()
}

/// The path of the program, which cargo builds beside the folder of the tests' own: a test of its package
/// (`tests/program.rs`) sees to it that it does.
pub fn program() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        let own = std::env::current_exe().expect("the path of the tests");
        let profile = own.parent().and_then(Path::parent).expect("the folder of the profile");
        let program = profile.join("imagedepot");
        assert!(program.exists(), "{} is not built: cargo build", program.display());
        program.display().to_string()
    });
    &PROGRAM
}
