//! Windows' own programs as Wine has them: the command shell and `reg` are real, `icacls` and `certutil` only say
//! what they were called with.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{Finished, run};

/// The paths at which Debian's releases install it.
const PROGRAMS: [&str; 3] = ["/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/bin/wine"];

/// A Windows of its own, with an empty disk `C:`.
pub struct Wine {
    program: &'static str,
    folder: tempfile::TempDir,
}

impl Wine {
    pub async fn start() -> Self {
        let program = PROGRAMS.into_iter().find(|program| Path::new(program).exists());
        let program = program.expect("Wine: tests/run installs it");
        let folder = tempfile::tempdir().expect("a folder for Wine");
        let wine = Self { program, folder };
        wine.run("", &["wineboot", "-i"]).await.successful();
        wine
    }

    /// Runs a program; `debug` is what Wine is to tell of its own doings on standard error.
    pub async fn run(&self, debug: &str, arguments: &[&str]) -> Finished {
        let mut command = Command::new(self.program);
        command
            .args(arguments)
            .env("WINEPREFIX", self.folder.path().join("prefix"))
            .env("HOME", self.folder.path())
            .env("WINEDEBUG", format!("-all{debug}"))
            // Neither is there, and each would ask whether to install it.
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .current_dir(self.folder.path());
        run(command).await
    }

    /// Returns the Windows name of a path on this system.
    pub fn path(path: &Path) -> String {
        format!("Z:{}", path.display().to_string().replace('/', "\\"))
    }

    /// The disk `C:`.
    pub fn disk(&self) -> PathBuf {
        self.folder.path().join("prefix/drive_c")
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let server = Command::new("/usr/bin/wineserver")
            .arg("-k")
            .env("WINEPREFIX", self.folder.path().join("prefix"))
            .status();
        if server.is_err() {
            eprintln!("wineserver could not be called; it ends by itself");
        }
    }
}
