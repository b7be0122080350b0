//! The rate of update checks that this server answers, and how it slows the fleet down when there are too many.
//!
//! Each server measures for itself: a limit protects the machine that it runs on.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// The update checks of this second and of the one before.
#[derive(Debug, Default)]
pub struct CheckRate {
    /// The second that is counted, since the epoch.
    second: AtomicI64,
    now: AtomicU32,
    before: AtomicU32,
}

/// The limits of the rate, in checks a second. 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// The rate above which clients are told to ask less often.
    pub stretch_above: u32,
    /// The rate above which checks are refused.
    pub hard_limit: u32,
}

/// The reaction to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// The check is answered, and the client asks again after this many periods.
    Answer { periods: u32 },
    /// The check is refused, and the client asks again in its slot.
    Refuse,
}

impl CheckRate {
    /// Counts a check in the second `now` since the epoch, and says how to react to it.
    pub fn count(&self, now: i64, limits: RateLimits) -> Load {
        let second = self.second.load(Ordering::Relaxed);
        if second != now
            && self
                .second
                .compare_exchange(second, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let counted = self.now.swap(0, Ordering::Relaxed);
            let is_next = now == second + 1;
            self.before.store(if is_next { counted } else { 0 }, Ordering::Relaxed);
        }
        let this_second = self.now.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if limits.hard_limit > 0 && this_second > limits.hard_limit {
            return Load::Refuse;
        }
        let rate = self.before.load(Ordering::Relaxed).max(this_second);
        let periods = match limits.stretch_above {
            0 => 1,
            limit => rate.div_ceil(limit).max(1),
        };
        Load::Answer { periods }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RateLimits = RateLimits { stretch_above: 10, hard_limit: 25 };

    #[test]
    fn clients_ask_half_as_often_when_twice_as_many_come_as_the_server_likes() {
        let rate = CheckRate::default();
        let answers: Vec<_> = (0..20).map(|_| rate.count(100, LIMITS)).collect();
        assert_eq!(answers[9], Load::Answer { periods: 1 });
        assert_eq!(answers[19], Load::Answer { periods: 2 });
        // The next second knows of it at once, and the one after a pause has forgotten it.
        assert_eq!(rate.count(101, LIMITS), Load::Answer { periods: 2 });
        assert_eq!(rate.count(103, LIMITS), Load::Answer { periods: 1 });
    }

    #[test]
    fn checks_past_the_hard_limit_are_refused_until_the_second_is_over() {
        let rate = CheckRate::default();
        let refused = (0..30).filter(|_| rate.count(7, LIMITS) == Load::Refuse).count();
        assert_eq!(refused, 5);
        assert_ne!(rate.count(8, LIMITS), Load::Refuse);
        let open = RateLimits { stretch_above: 0, hard_limit: 0 };
        assert!((0..1000).all(|_| rate.count(9, open) == Load::Answer { periods: 1 }));
    }
}
