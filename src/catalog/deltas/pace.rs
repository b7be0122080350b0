//! The pace of the work on transfer files: at most a share of one core, and so many bytes a second, until it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::catalog::rules::DeltaRules;
use crate::delta::{Next, Pace, Progress};

/// The longest pause at once, so that a stop is noticed.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Stops the work when it is dropped: with the future that waits for it.
pub(super) struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The pace of one thread. To be made on that thread.
pub(super) struct Paced {
    rules: DeltaRules,
    stop: Arc<AtomicBool>,
    began: Instant,
    cpu_at_start: Duration,
    /// Bytes of the phases before this one, and of this one.
    bytes_before: u64,
    done: u64,
}

/// Returns a flag for [`Paced::new`], and what sets it when it is dropped.
pub(super) fn stop() -> (Arc<AtomicBool>, StopOnDrop) {
    let flag = Arc::new(AtomicBool::new(false));
    (Arc::clone(&flag), StopOnDrop(flag))
}

impl Paced {
    pub(super) fn new(rules: DeltaRules, stop: Arc<AtomicBool>) -> Self {
        let (began, cpu_at_start) = (Instant::now(), cpu_of_this_thread());
        Self { rules, stop, began, cpu_at_start, bytes_before: 0, done: 0 }
    }

    /// Returns the CPU time of the work so far.
    pub(super) fn cpu(&self) -> Duration {
        cpu_of_this_thread().saturating_sub(self.cpu_at_start)
    }

    /// Returns the time that the work so far has to take.
    fn due(&self) -> Duration {
        let by_cpu = self.cpu().div_f64(self.rules.cpu.clamp(0.01, 1.0));
        let bytes = self.bytes_before + self.done;
        match self.rules.bandwidth.as_u64() {
            0 => by_cpu,
            // A float is exact enough: days at a gigabyte a second.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            rate => by_cpu.max(Duration::from_secs_f64(bytes as f64 / rate as f64)),
        }
    }
}

impl Pace for Paced {
    fn between(&mut self, progress: Progress) -> Next {
        if progress.done < self.done {
            self.bytes_before += self.done;
        }
        self.done = progress.done;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Next::Stop;
            }
            let pause = self.due().saturating_sub(self.began.elapsed());
            if pause.is_zero() {
                return Next::GoOn;
            }
            std::thread::sleep(pause.min(LONGEST_PAUSE));
        }
    }
}

fn cpu_of_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::Phase;

    fn at(done: u64) -> Progress {
        Progress { phase: Phase::Chunking, done, total: 1 << 30 }
    }

    #[test]
    fn work_takes_as_long_as_its_bytes_may_take() {
        let rules = DeltaRules { bandwidth: bytesize::ByteSize::mib(10), ..DeltaRules::default() };
        let mut paced = Paced::new(rules, stop().0);
        let began = Instant::now();
        // The flag was set when its guard was dropped; a new one is not.
        paced.stop = Arc::default();
        // Two phases of one MiB each.
        for done in [0, 1 << 20, 0, 1 << 20] {
            assert_eq!(paced.between(at(done)), Next::GoOn);
        }
        assert!(began.elapsed() >= Duration::from_millis(195), "{:?}", began.elapsed());
    }

    #[test]
    fn work_uses_its_share_of_a_core() {
        let rules = DeltaRules { cpu: 0.25, ..DeltaRules::default() };
        let (flag, _guard) = stop();
        let (mut paced, began) = (Paced::new(rules, flag), Instant::now());
        while paced.cpu() < Duration::from_millis(50) {}
        paced.between(at(1));
        assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    }

    #[test]
    fn work_stops_when_nobody_waits_for_it() {
        let rules = DeltaRules { bandwidth: bytesize::ByteSize::b(1), ..DeltaRules::default() };
        let (flag, guard) = stop();
        let mut paced = Paced::new(rules, flag);
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(guard);
        });
        // It would have to wait for hours.
        assert_eq!(paced.between(at(10_000)), Next::Stop);
        assert!(stopper.join().is_ok());
    }
}
