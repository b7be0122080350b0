//! The process as the system sees it, under the names that all programs have for it. Looked up when somebody reads the
//! metrics: nothing here is kept.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::model::{Clock, metric};

/// Notes when the process started: metrics begin with it.
pub(super) fn note_start() {
    metric::PROCESS_STARTED.set(number(Clock::System.now().timestamp().unsigned_abs()));
}

/// Sets the gauges of the process. What the system does not tell stays as it was.
pub fn measure() {
    if let Some(bytes) = resident_bytes() {
        metric::PROCESS_MEMORY.set(number(bytes));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The look itself has the folder open.
        let open = open.count().saturating_sub(1);
        metric::PROCESS_OPEN_FILES.set(number(u64::try_from(open).unwrap_or(u64::MAX)));
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        metric::PROCESS_MOST_FILES.set(number(most));
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge has no better number")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_how_much_memory_is_in_use() {
        assert!(resident_bytes().unwrap() > 1 << 20);
    }
}
