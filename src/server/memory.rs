//! Keeps an idle server's memory small: uses small pages, and returns freed memory to the system.
//!
//! The allocator (mimalloc) marks what was freed. It returns it a second later at the earliest, when the next page is
//! freed, which may never happen on an idle server: memory that only the start needed would stay. The 19 MiB in which a
//! password is hashed come directly from the system and go back to it, see `.cargo/config.toml`.

use std::hint::black_box;
use std::time::Duration;

/// The interval between rounds. It is longer than the allocator's delay of one second, so that each round returns what
/// was freed before the previous one.
const INTERVAL: Duration = Duration::from_secs(2);

/// The size of the block that each round frees. It is above the 512 KiB up to which the allocator keeps a page for
/// reuse, but not by much, because the memory that contains it is not returned.
const OWN_PAGE: usize = 1 << 20;

/// Turns transparent huge pages off for this process. On a system that uses them by default, each thread's heap and
/// stack would begin with 2 MiB, of which an idle server uses a tenth. The allocator is built so that it does not ask
/// for them (mimalloc's feature `no_thp`).
pub(super) fn use_small_pages() {
    // It fails on a system without huge pages, which is just as well.
    let _refused = rustix::thread::disable_transparent_huge_pages(true);
}

/// Allocates and frees a block now and then, which makes the allocator return all pages that are due. Nothing is
/// written to the block, so it takes no memory.
pub(super) async fn keep_returning_what_was_freed() {
    loop {
        tokio::time::sleep(INTERVAL).await;
        drop(black_box(Vec::<u8>::with_capacity(OWN_PAGE)));
    }
}
