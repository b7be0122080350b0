//! Opens files safely in folders where others may write: a symbolic link there may lead anywhere, and opening a pipe
//! would wait for ever.
//!
//! The folders on the way to a file are the caller's own choice and are not checked. Only the last name of the path may
//! have been placed by others.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

/// The error for anything that is not a regular file.
const NO_FILE: &str = "not a regular file";
const A_LINK: &str =
    "a symbolic link, and those are not followed here: name or copy the file itself";

/// Opens a regular file for reading. Fails for a symbolic link and for anything that is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens or creates a regular file with the given options. Fails if the path already is something else.
pub fn open_with(options: &OpenOptions, path: &Path) -> io::Result<File> {
    regular(options, OFlags::NOFOLLOW, path)
}

/// Opens a regular file that a person has named. A symbolic link is followed, because the person means its target.
pub fn open_named(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true), OFlags::empty(), path)
}

/// Reads a whole regular file. Fails for a symbolic link, for anything that is not a regular file, and for more than
/// `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;

    let mut bytes = Vec::new();
    open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Opens an unnamed file in a folder. It disappears with this process, and nobody else can open it.
pub fn unnamed(folder: &Path) -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    if let Ok(file) =
        options.clone().custom_flags(OFlags::TMPFILE.bits().cast_signed()).open(folder)
    {
        return Ok(file);
    }
    // Not every file system supports such files. Then the file has a name for a moment.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".imagedepot-unnamed-{}-{number}", std::process::id()));
    let file = options.create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Fails unless `names` below `root` lead to a regular file and none of them is a symbolic link. For readers that open
/// files themselves.
pub fn must_be_regular_below(root: &Path, names: &Path) -> io::Result<()> {
    let mut path = root.to_owned();
    let mut about = fs::symlink_metadata(&path)?;
    for name in names.components() {
        path.push(name);
        about = fs::symlink_metadata(&path)?;
        if about.is_symlink() {
            return Err(io::Error::other(A_LINK));
        }
    }
    if about.is_file() { Ok(()) } else { Err(io::Error::other(NO_FILE)) }
}

/// Opens a file and checks that it is regular. Without `O_NONBLOCK`, opening a pipe would wait for its other end; the
/// flag has no effect on regular files.
fn regular(options: &OpenOptions, flags: OFlags, path: &Path) -> io::Result<File> {
    let mut options = options.clone();
    options.custom_flags((flags | OFlags::NONBLOCK).bits().cast_signed());
    let file = options.open(path).map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => io::Error::other(A_LINK),
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => io::Error::other(NO_FILE),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other(NO_FILE)) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Makes a folder with a file, a link to it, a pipe and a folder.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "content").unwrap();
        symlink(path("file"), path("link")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(pipe.success());
        fs::create_dir(path("folder")).unwrap();
        folder
    }

    #[test]
    fn regular_files_alone_are_opened_and_nothing_waits() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        assert_eq!(read(&path("file"), 7).unwrap(), b"content");
        assert!(read(&path("file"), 6).is_err());
        for name in ["link", "pipe", "folder", "none"] {
            assert!(open(&path(name)).is_err(), "{name}");
        }
        let mut writing = OpenOptions::new();
        writing.write(true).create(true);
        for name in ["link", "pipe", "folder"] {
            assert!(open_with(&writing, &path(name)).is_err(), "{name}");
        }
        assert!(open_with(&writing, &path("new")).is_ok());
        assert!(open_named(&path("link")).is_ok() && open_named(&path("pipe")).is_err());
    }

    #[test]
    fn no_name_on_the_way_is_a_link() {
        let folder = folder();
        symlink(folder.path(), folder.path().join("folder/up")).unwrap();
        let check = |names: &str| must_be_regular_below(folder.path(), Path::new(names));
        assert!(check("file").is_ok());
        for names in ["link", "pipe", "folder", "folder/up/file", "none"] {
            assert!(check(names).is_err(), "{names}");
        }
    }
}
