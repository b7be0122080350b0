//! Keeps an idle server's memory small: uses small pages, and returns freed memory to the system.
//!
//! The allocator (mimalloc 3.3) marks what was freed. It returns it a second later at the earliest, at the next occasion,
//! which may never come on an idle server: memory that only the start needed would stay. The 19 MiB in which a password
//! is hashed come directly from the system and go back to it, see `.cargo/config.toml`.

use std::thread;
use std::time::Duration;

/// The interval between rounds. It is longer than the allocator's delay of one second, so that each round returns what
/// was freed before the previous one.
const INTERVAL: Duration = Duration::from_secs(2);

/// Turns transparent huge pages off for this process. On a system that uses them by default, each thread's heap and
/// stack would begin with 2 MiB, of which an idle server uses a tenth. The allocator is built so that it does not ask
/// for them (mimalloc's feature `no_thp`).
pub(super) fn use_small_pages() {
    // It fails on a system without huge pages, which is just as well.
    let _refused = rustix::thread::disable_transparent_huge_pages(true);
}

/// Ends a thread now and then, which makes the allocator return all pages that are due.
///
/// A page that is freed does the same, but only while a mark of the whole process says that something is due. Threads
/// that free at the same time can lose that mark between them: a server that had freed 160 MiB kept them. Nobody looks at
/// the mark when a thread ends.
pub(super) async fn keep_returning_what_was_freed() {
    loop {
        tokio::time::sleep(INTERVAL).await;
        // If the system has no thread left, the next round may find one.
        let _none = thread::Builder::new().spawn(|| ());
    }
}
