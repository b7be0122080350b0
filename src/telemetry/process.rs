//! Metrics of the process as the system sees it, under the names that all programs use. They are measured when somebody
//! reads the metrics; nothing is kept here.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::model::{Clock, metric};

/// Records the time at which the process started, which is when metrics begin.
pub(super) fn note_start() {
    metric::PROCESS_STARTED.set(number(Clock::System.now().timestamp().unsigned_abs()));
}

/// Sets the gauges of the process. A gauge stays as it was if the system reports no value.
pub fn measure() {
    if let Some(bytes) = resident_bytes() {
        metric::PROCESS_MEMORY.set(number(bytes));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // Reading this folder itself takes one descriptor.
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
