//! The limit of what each open appender may collect. All of them share one budget, so that memory does not grow with
//! their number.
//!
//! The count is per process and affects nothing but speed.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes that all appenders may collect together; as many again may be on their way to the disk.
const BUDGET: u64 = 8 * 1024 * 1024;

/// The smallest share, however many appenders there are: below it, handing work to other threads costs more than the
/// work.
const LEAST: u64 = 64 * 1024;

static OPEN: AtomicU64 = AtomicU64::new(0);

/// One appender's share, which counts until it is dropped.
pub(super) struct Share(());

impl Share {
    pub(super) fn take() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// Returns the size of a share in bytes.
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
