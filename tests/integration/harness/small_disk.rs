//! A file system of a few megabytes, to be filled.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A tmpfs of its own. Mounting takes root, or the right to mount within a container.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    pub fn mounted(megabytes: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={megabytes}m");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path());
        let mounted = mount.status().is_ok_and(|status| status.success());
        assert!(mounted, "the test of a full disk mounts a small one, which takes root");
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Gives it more room.
    pub fn grow(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        let grown = Command::new("mount").args(["-o", &size]).arg(self.path()).status();
        assert!(grown.is_ok_and(|status| status.success()), "the small disk does not grow");
    }

    /// Somebody else's file, which takes all the room that is left. Removing it gives the room back.
    pub fn fill(&self) -> PathBuf {
        filled(self.path().join("filler"))
    }

    /// The same once more, beside what filled it before.
    pub fn fill_beside(filler: &Path) -> PathBuf {
        filled(filler.with_extension("more"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the small disk stays mounted");
    }
}

fn filled(path: PathBuf) -> PathBuf {
    let mut filler = File::create(&path).expect("make the filler");
    for block in [vec![0; 1 << 20], vec![0; 4096]] {
        while filler.write_all(&block).is_ok() {}
    }
    path
}
