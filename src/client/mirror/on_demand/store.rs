//! The files that a mirror has, by their digests: found, opened, counted, and removed when nobody has used them for long
//! or others need the room.
//!
//! `files/HEX` is a whole file, verified. `HEX.about` beside it has the headers that are passed on, and its date is that
//! of the last use. `HEX.partial` is a file that was not fetched to its end.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::about::About;
use crate::client::error::Failure;
use crate::client::mirror::served::room;
use crate::client::trust::copy::write_durably;
use crate::file_system;
use crate::model::Digest;

/// The time after which a use is noted on the disk again.
const NOTED_EVERY: Duration = Duration::from_hours(1);

/// The room that is left on the disk, for metadata and for others.
const RESERVE: u64 = 256 << 20;

/// The bounds of what a mirror keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub most_bytes: Option<u64>,
    pub unused_for: Duration,
}

/// A file that somebody reads, who keeps this meanwhile.
pub type InUse = Arc<()>;

/// The files of a folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    limits: Limits,
    files: HashMap<Digest, Kept>,
}

#[derive(Debug)]
struct Kept {
    size: u64,
    used: SystemTime,
    /// The last use that the disk knows of.
    noted: SystemTime,
    /// Set once this process has made sure that the file is what it was.
    is_checked: bool,
    about: About,
    readers: InUse,
}

/// A file that was found.
#[derive(Debug)]
pub struct Found {
    pub file: Arc<File>,
    pub about: About,
    pub is_checked: bool,
    pub readers: InUse,
}

impl Store {
    /// Opens a folder, which is made if it is missing.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, Failure> {
        let mut store = Self { folder: folder.to_owned(), limits, files: HashMap::new() };
        let mut read = || {
            fs::create_dir_all(folder)?;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if let Some(digest) = entry.file_name().to_str().and_then(digest_of) {
                    let about = entry.metadata()?;
                    store.take_up(digest, about.len(), about.modified()?);
                }
            }
            Ok(())
        };
        read().map_err(|error: io::Error| Failure::local("read", folder, &error))?;
        Ok(store)
    }

    fn take_up(&mut self, digest: Digest, size: u64, made: SystemTime) {
        let path = self.path_of_about(digest);
        let used = fs::metadata(&path).and_then(|about| about.modified()).unwrap_or(made);
        let about = fs::read(&path).ok();
        let about = about.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let kept =
            Kept { size, used, noted: used, is_checked: false, about, readers: Arc::default() };
        self.files.insert(digest, kept);
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_hex())
    }

    pub fn path_of_partial(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.partial", digest.to_hex()))
    }

    pub fn path_of_about(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.about", digest.to_hex()))
    }

    /// Opens a file, and notes that it is used.
    pub fn find(&mut self, digest: Digest, size: u64) -> Option<Found> {
        let path = self.path(digest);
        let kept = self.files.get_mut(&digest).filter(|kept| kept.size == size)?;
        let Ok(file) = file_system::open(&path) else {
            self.files.remove(&digest);
            return None;
        };
        kept.used = SystemTime::now();
        let found = Found {
            file: Arc::new(file),
            about: kept.about.clone(),
            is_checked: kept.is_checked,
            readers: Arc::clone(&kept.readers),
        };
        if kept.used.duration_since(kept.noted).is_ok_and(|age| age >= NOTED_EVERY) {
            kept.noted = kept.used;
            let used = kept.used;
            let about = File::options().write(true).open(self.path_of_about(digest));
            // Without the note, it may be removed too early after a restart.
            let _unnoted = about.and_then(|about| about.set_modified(used));
        }
        Some(found)
    }

    /// Returns the headers that are known of a file.
    pub fn about(&self, digest: Digest) -> Option<About> {
        self.files.get(&digest).map(|kept| kept.about.clone())
    }

    /// Notes that a file was found to be what it was.
    pub fn has_checked(&mut self, digest: Digest) {
        if let Some(kept) = self.files.get_mut(&digest) {
            kept.is_checked = true;
        }
    }

    /// Reports whether a file is here, or was when it was last looked at.
    pub fn has(&self, digest: Digest, size: u64) -> bool {
        self.files.get(&digest).is_some_and(|kept| kept.size == size)
    }

    /// Takes a file that was fetched and verified, and is in the folder. Those who have read it while it arrived may read
    /// on.
    pub fn add(&mut self, digest: Digest, size: u64, about: About, readers: InUse) {
        let now = SystemTime::now();
        let kept = Kept { size, used: now, noted: now, is_checked: true, about, readers };
        self.files.insert(digest, kept);
    }

    /// Removes a file, and what there is of it. Whoever reads it reads on.
    pub fn remove(&mut self, digest: Digest) {
        self.files.remove(&digest);
        let partial = self.path_of_partial(digest);
        let tag = partial.with_extension("partial.etag");
        for path in [self.path(digest), self.path_of_about(digest), partial, tag] {
            // What cannot be removed is found again at the next start.
            let _left = fs::remove_file(path);
        }
    }

    /// Returns the bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|kept| kept.size).sum()
    }

    /// Makes room for a file that is to come, beside others that are `coming` and of which so many bytes are `missing`.
    /// Nothing is removed for a file that does not fit anyway.
    pub fn make_room(
        &mut self,
        digest: Digest,
        size: u64,
        coming: u64,
        missing: u64,
    ) -> Result<(), Failure> {
        let idle: u64 =
            self.files.values().filter(|kept| kept.is_idle()).map(|kept| kept.size).sum();
        let planned = self.bytes().saturating_add(coming).saturating_add(size);
        let over = self.limits.most_bytes.map_or(0, |most| planned.saturating_sub(most));
        if over > idle {
            let most = self.limits.most_bytes.unwrap_or_default();
            return Err(Failure::no_room(format!(
                "the mirror may keep {most} bytes, and {size} more do not fit beside what is in use"
            )));
        }
        let there = fs::metadata(self.path_of_partial(digest)).map_or(0, |about| about.len());
        let needed = size.saturating_sub(there).saturating_add(missing).saturating_add(RESERVE);
        let free = room(&self.folder)?;
        let lacking = needed.saturating_sub(free);
        if lacking > idle {
            let folder = self.folder.display();
            return Err(Failure::no_room(format!(
                "not enough disk space: {needed} bytes are needed, and {folder} has {free} bytes free"
            )));
        }
        let (mut freed, wanted) = (0, over.max(lacking));
        while freed < wanted {
            let Some(size) = self.remove_longest_unused() else { break };
            freed += size;
        }
        Ok(())
    }

    /// Removes what nobody has used for too long, and unfinished files likewise, except those that are `coming`.
    pub fn sweep(&mut self, coming: &[Digest]) {
        let now = SystemTime::now();
        let limit = self.limits.unused_for;
        let is_old = move |used: SystemTime| now.duration_since(used).is_ok_and(|age| age > limit);
        let old = self.files.iter().filter(|(_, kept)| kept.is_idle() && is_old(kept.used));
        let old: Vec<Digest> = old.map(|(digest, _)| *digest).collect();
        for digest in old {
            self.remove(digest);
        }
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| digest_of(name.strip_suffix(".partial")?));
            let used = entry.metadata().and_then(|about| about.modified());
            if let (Some(digest), Ok(used)) = (digest, used)
                && !coming.contains(&digest)
                && is_old(used)
            {
                self.remove(digest);
            }
        }
        if let Some(most) = self.limits.most_bytes {
            while self.bytes() > most && self.remove_longest_unused().is_some() {}
        }
        // The next look needs room for its metadata.
        while room(&self.folder).is_ok_and(|free| free < RESERVE / 2)
            && self.remove_longest_unused().is_some()
        {}
    }

    /// Removes the file that nobody has used for the longest time. Returns its size; none if there is none.
    fn remove_longest_unused(&mut self) -> Option<u64> {
        let idle = self.files.iter().filter(|(_, kept)| kept.is_idle());
        let (digest, size) =
            idle.min_by_key(|(_, kept)| kept.used).map(|(digest, kept)| (*digest, kept.size))?;
        self.remove(digest);
        Some(size)
    }
}

impl Kept {
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.readers) == 1
    }
}

/// Writes the headers of a file beside it. Without them, its date of change is not known after a restart. Blocks.
pub fn write_about(path: &Path, about: &About) -> io::Result<()> {
    let written = serde_json::to_vec(about).map_err(io::Error::other)?;
    write_durably(path, &written)
}

/// Returns the digest whose hexadecimal form a name is.
fn digest_of(name: &str) -> Option<Digest> {
    let digest: Digest = format!("sha256:{name}").parse().ok()?;
    (digest.to_hex() == name).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn store(most_bytes: Option<u64>, files: &[&str]) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { most_bytes, unused_for: HOUR };
        let mut store = Store::open(folder.path(), limits).unwrap();
        for (age, content) in files.iter().enumerate() {
            let digest = Digest::of(content.as_bytes());
            fs::write(store.path(digest), content).unwrap();
            store.add(digest, content.len() as u64, About::default(), Arc::default());
            let kept = store.files.get_mut(&digest).unwrap();
            kept.used = SystemTime::now() - 40 * Duration::from_mins(u64::try_from(age).unwrap());
        }
        (folder, store)
    }

    fn has(store: &mut Store, content: &str) -> bool {
        store.files.contains_key(&Digest::of(content.as_bytes()))
    }

    #[test]
    fn what_was_used_longest_ago_makes_room() {
        let (_folder, mut store) = store(Some(10), &["new", "older", "old"]);
        let other = Digest::of(b"other");
        assert!(store.make_room(other, 11, 0, 0).is_err(), "more than there may be");
        assert_eq!(store.files.len(), 3, "nothing leaves for a file that does not fit");
        let (_folder, mut store) = self::store(Some(12), &["new", "older", "old"]);
        let reading = store.find(Digest::of(b"old"), 3).unwrap();
        store.files.get_mut(&Digest::of(b"old")).unwrap().used = SystemTime::UNIX_EPOCH;
        store.make_room(other, 5, 0, 0).unwrap();
        assert!(has(&mut store, "old") && !has(&mut store, "older") && has(&mut store, "new"));
        drop(reading);
        store.make_room(other, 5, 4, 0).unwrap();
        assert!(!has(&mut store, "old") && has(&mut store, "new"));
    }

    #[test]
    fn what_nobody_uses_leaves_after_its_time() {
        let (folder, mut store) = store(None, &["new", "older", "old"]);
        fs::write(store.path_of_partial(Digest::of(b"x")), "half").unwrap();
        store.sweep(&[]);
        assert!(has(&mut store, "new") && has(&mut store, "older") && !has(&mut store, "old"));
        assert!(!store.path(Digest::of(b"old")).exists());
        assert!(store.path_of_partial(Digest::of(b"x")).exists(), "it may be gone on with");
        // A restart knows the files, and when they were used.
        let mut again = Store::open(folder.path(), store.limits).unwrap();
        assert!(has(&mut again, "new") && has(&mut again, "older"));
        assert!(!again.find(Digest::of(b"new"), 3).unwrap().is_checked);
        assert!(again.find(Digest::of(b"new"), 4).is_none(), "another size");
    }
}
