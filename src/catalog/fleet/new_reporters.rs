//! The limit of reports by clients that are not on record: one source can bring only so many ids in a minute.
//! Otherwise, where everyone may report, one machine could fill the disk with ids that it makes up. Each server counts
//! by itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::model::report::ReportSource;

/// The clients of each source that came in with a report in this minute.
#[derive(Debug, Default)]
pub struct NewReporters(Mutex<ThisMinute>);

#[derive(Debug, Default)]
struct ThisMinute {
    minute: i64,
    counted: HashMap<ReportSource, u32>,
}

impl NewReporters {
    /// Reports whether one more client of the source may report at this time, in seconds since the epoch, and counts it.
    /// `limit` is the number of new clients for each source and minute; 0 means no limit.
    pub fn admit(&self, source: &ReportSource, at: i64, limit: u32) -> bool {
        if limit == 0 {
            return true;
        }
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = at.div_euclid(60);
        if now.minute != minute {
            *now = ThisMinute { minute, counted: HashMap::new() };
        }
        let count = now.counted.entry(source.clone()).or_default();
        let is_admitted = *count < limit;
        *count += u32::from(is_admitted);
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_brings_so_many_new_clients_a_minute() {
        let (reporters, one) = (NewReporters::default(), ReportSource::certificate("one"));
        let other = ReportSource::certificate("other");
        let admitted = |source, at| reporters.admit(source, at, 2);
        assert!(admitted(&one, 0) && admitted(&one, 59) && !admitted(&one, 59));
        assert!(admitted(&other, 59));
        assert!(admitted(&one, 60));
        assert!((0..100).all(|_| reporters.admit(&one, 60, 0)), "without a limit");
    }
}
