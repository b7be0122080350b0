//! The bytes that each stream of a local file may read ahead, so that all of them together never fill the memory.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes of one read. 512 KiB and more are slower by a quarter, because the server copies a chunk and the
/// response's head into one buffer, which has to fit the allocator's 512 KiB class. 256 KiB and less wake the receiver
/// too often.
pub(super) const LARGEST: usize = 500 * 1024;

/// The fewest bytes of one read, however many streams there are.
const SMALLEST: usize = LARGEST / 16;

/// The bytes that all streams together may have read ahead: a client that asks for hundreds of files and reads none of
/// them must not fill the memory. Only the smallest reads go beyond it.
const ALL_TOGETHER: usize = 24 << 20;

/// The part of what is left that one stream may take. Those that come later find something left, too.
const PART: usize = 16;

/// The bytes that the streams of this process have read ahead.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The bytes of one stream's latest read. They count until its next read or its end, because the receiver, or the
/// buffer of its connection, holds them until then.
pub(super) struct Share {
    own: usize,
    /// The bytes of all streams that share the limit.
    all: &'static AtomicUsize,
}

impl Share {
    pub(super) const fn none() -> Self {
        Self::of(&TAKEN)
    }

    const fn of(all: &'static AtomicUsize) -> Self {
        Self { own: 0, all }
    }

    /// Returns the bytes that the next read may have. There are few sizes, so that a buffer is mostly of the size that
    /// the next read needs.
    pub(super) fn renew(&mut self) -> usize {
        let others = self.all.fetch_sub(self.own, Ordering::Relaxed) - self.own;
        self.own = size(ALL_TOGETHER.saturating_sub(others));
        self.all.fetch_add(self.own, Ordering::Relaxed);
        self.own
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

fn size(left: usize) -> usize {
    let mut size = LARGEST;
    while size > SMALLEST && size > left / PART {
        size /= 2;
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_alone_reads_the_most_and_late_ones_the_fewest() {
        assert_eq!(size(ALL_TOGETHER), LARGEST);
        assert_eq!(size(ALL_TOGETHER / 4), LARGEST / 2);
        assert_eq!(size(0), SMALLEST);
    }

    /// One caller opens them and reads none.
    #[test]
    fn a_thousand_streams_have_little_more_than_the_limit_and_the_smallest_reads() {
        let mut taken = 0;
        for _ in 0..1000 {
            taken += size(ALL_TOGETHER.saturating_sub(taken));
        }
        assert!(taken < ALL_TOGETHER + 1000 * SMALLEST, "{taken}");
    }

    #[test]
    fn a_stream_counts_once_and_what_it_took_is_free_after_its_end() {
        static ALL: AtomicUsize = AtomicUsize::new(0);
        let mut share = Share::of(&ALL);
        for _ in 0..2 {
            assert_eq!(share.renew(), LARGEST);
            assert_eq!(
                ALL.load(Ordering::Relaxed),
                LARGEST,
                "its earlier read does not count any more"
            );
        }
        drop(share);
        assert_eq!(ALL.load(Ordering::Relaxed), 0);
    }
}
