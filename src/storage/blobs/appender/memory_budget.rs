//! How much each of the appenders that are open may collect: together they have a budget, so that memory
//! does not grow with their number.
//!
//! The count is this process's own, and decides nothing but speed.

use std::sync::atomic::{AtomicU64, Ordering};

/// What all may collect together, in bytes; as much again is on its way to the disk.
const BUDGET: u64 = 8 * 1024 * 1024;

/// However many there are: below it the hops between threads cost more than the work.
const LEAST: u64 = 64 * 1024;

static OPEN: AtomicU64 = AtomicU64::new(0);

/// One appender's share, until it is dropped.
pub(super) struct Share(());

impl Share {
    pub(super) fn take() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// In bytes.
    pub(super) fn size() -> u64 {
        share_of(OPEN.load(Ordering::Relaxed))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

fn share_of(open: u64) -> u64 {
    (BUDGET / open.max(1)).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_have_all_that_they_can_use_and_many_share_the_budget() {
        assert_eq!(share_of(0), BUDGET);
        assert!(share_of(16) >= 512 * 1024);
        for open in [17, 50, 128] {
            assert!(share_of(open) * open <= BUDGET, "{open}");
        }
        assert_eq!(share_of(10_000), LEAST);
    }
}
