//! Sees every name that comes or goes in a folder, in its order, however short it was there.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;

/// An event that happened to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is there now: made, linked or renamed to.
    Appeared(String),
    /// It is gone: deleted or renamed from.
    Vanished(String),
}

/// The kernel notes what happens from the moment this is made.
pub struct FolderWatch {
    queue: OwnedFd,
}

impl FolderWatch {
    pub fn on(folder: &Path) -> Self {
        let queue = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("inotify");
        let kinds =
            WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::MOVED_FROM;
        add_watch(&queue, folder, kinds).expect("watch the folder");
        Self { queue }
    }

    /// Returns the events since the last call.
    pub fn events(&self) -> Vec<Event> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.queue, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().expect("watched is a folder").to_string_lossy();
                    let appeared = ReadFlags::CREATE | ReadFlags::MOVED_TO;
                    events.push(if event.events().intersects(appeared) {
                        Event::Appeared(name.into_owned())
                    } else {
                        Event::Vanished(name.into_owned())
                    });
                }
                Err(Errno::AGAIN) => return events,
                Err(error) => panic!("inotify: {error}"),
            }
        }
    }
}
