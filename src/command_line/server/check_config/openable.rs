//! Checks whether a server could open what the settings name, in the way in which the server does. Nothing is made or
//! changed.

use std::fs::FileType;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::config::Config;
use crate::{server, telemetry};

/// Returns all that could not be opened, each with its key.
pub(super) fn mistakes(config: &Config, data: &Path) -> Vec<String> {
    let local = |url: &Option<url::Url>| url.as_ref().and_then(|url| url.to_file_path().ok());
    let mut found = Vec::new();
    found.extend(telemetry::filter(&config.log).err().map(|error| error.to_string()));
    found.extend(config.log.access.as_deref().and_then(|path| new_or_file("log.access", path)));
    found.extend(folder("--data", data));
    found.extend(catalog(config, data));
    found.extend(local(&config.store.url).and_then(|path| folder("store.url", &path)));
    found.extend(local(&config.tree.url).and_then(|path| folder("tree.url", &path)));
    if let Err(error) = server::check(config) {
        found.extend(error.to_string().lines().map(str::to_owned));
    }
    for (index, listener) in config.listener.iter().enumerate() {
        found.extend(foreign(&format!("listener {}", index + 1), listener.address.ip()));
    }
    found.extend(config.metrics.listen.and_then(|address| foreign("metrics.listen", address.ip())));
    found
}

/// Returns a mistake if the address is not one of this machine. Binding port 0 works also while a server has the port.
fn foreign(key: &str, address: IpAddr) -> Option<String> {
    let bound = TcpListener::bind((address, 0));
    bound.err().map(|error| format!("{key}: {address} is not an address of this machine: {error}"))
}

fn catalog(config: &Config, data: &Path) -> Option<String> {
    let url = config.catalog.url.as_deref().unwrap_or_default();
    let path = PathBuf::from(url.strip_prefix("sqlite:")?);
    let data = std::path::absolute(data).ok()?;
    // The server makes the data folder.
    if path.parent() == Some(&data) && !path.exists() {
        return None;
    }
    new_or_file("catalog.url", &path)
}

/// Returns a mistake unless the path is a file that may be written, or one that can be made.
fn new_or_file(key: &str, path: &Path) -> Option<String> {
    let wrong =
        |path: &Path, why: &dyn std::fmt::Display| Some(format!("{key}: {} {why}", path.display()));
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => return wrong(path, &"is a folder, but must be a file"),
        Ok(_) => return cannot_write(path, Access::WRITE_OK).and_then(|why| wrong(path, &why)),
        Err(error) if !is_absent(&error) => return wrong(path, &error),
        Err(_) => {}
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    match std::fs::metadata(parent) {
        Ok(there) if !there.is_dir() => wrong(parent, &not_a_folder(there.file_type())),
        Ok(_) => cannot_write(parent, Access::WRITE_OK | Access::EXEC_OK)
            .and_then(|why| wrong(parent, &why)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            wrong(path, &format!("is in the folder {}, which does not exist", parent.display()))
        }
        Err(error) => wrong(parent, &error),
    }
}

/// Returns a mistake unless the path is a folder that may be written, or one that can be made.
fn folder(key: &str, path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    for part in path.ancestors() {
        let wrong = |why: &dyn std::fmt::Display| Some(format!("{key}: {} {why}", part.display()));
        return match std::fs::metadata(part) {
            Err(error) if is_absent(&error) => continue,
            Err(error) => wrong(&error),
            Ok(there) if !there.is_dir() => wrong(&not_a_folder(there.file_type())),
            Ok(_) => {
                cannot_write(part, Access::WRITE_OK | Access::EXEC_OK).and_then(|why| wrong(&why))
            }
        };
    }
    None
}

/// Reports whether the path does not exist. Nothing exists below a file either; the file itself is checked in its turn.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn not_a_folder(kind: FileType) -> String {
    let what = if kind.is_file() {
        "a file"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    };
    format!("is {what}, but must be a folder")
}

fn cannot_write(path: &Path, wanted: Access) -> Option<String> {
    access(path, wanted)
        .err()
        .map(|error| format!("cannot be written to: {}", io::Error::from(error)))
}
