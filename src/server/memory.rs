//! How little memory an idle server keeps: small pages, and what was freed goes back to the system.
//!
//! The allocator (mimalloc) marks what was freed and returns it a second later at the earliest, when it frees the next page: on an
//! idle server that may never come, and what the start has needed stayed. The 19 MiB in which a password is hashed do not go through it:
//! `.cargo/config.toml`.

use std::hint::black_box;
use std::time::Duration;

/// Longer than the allocator's own delay (a second), so that each round returns what was freed before the one before.
const INTERVAL: Duration = Duration::from_secs(2);

/// More than the 512 KiB up to which the allocator keeps a page for the next of its size; not much more, for what it lies in is not
/// returned.
const OWN_PAGE: usize = 1 << 20;

/// Where the system gives huge pages by itself, each thread's heap and stack would begin with 2 MiB, of which an idle server uses
/// a tenth. The allocator is built not to ask for them (mimalloc's feature `no_thp`).
pub(super) fn use_small_pages() {
    // A system that knows no huge pages gives none.
    let _refused = rustix::thread::disable_transparent_huge_pages(true);
}

/// Frees a page of its own now and then, which has the allocator return all others whose time has come. Nothing is written to it, so
/// that it takes no memory.
pub(super) async fn keep_returning_what_was_freed() {
    loop {
        tokio::time::sleep(INTERVAL).await;
        drop(black_box(Vec::<u8>::with_capacity(OWN_PAGE)));
    }
}
