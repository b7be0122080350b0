//! The result of a simulation as people read it: a table, and a line every few seconds meanwhile.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::HumanCount;

use super::outcome::{Outcome, QUANTILES, at_quantile, milliseconds};
use super::tally::{Counts, Measured, Recent};

impl Outcome {
    /// Returns the result for people.
    pub fn table(&self) -> String {
        let mut table = String::new();
        // Writing to a string never fails.
        let _ = self.write_table(&mut table);
        table.trim_end().to_owned()
    }

    fn write_table(&self, table: &mut String) -> std::fmt::Result {
        let Self { measured, opened, .. } = self;
        writeln!(
            table,
            "{} checks in {:.1} s: {:.1} a second, planned {:.1}",
            HumanCount(measured.checks),
            self.paced.elapsed.as_secs_f64(),
            self.rate(),
            self.planned_rate,
        )?;
        write!(table, "\n{:<10}", "latency")?;
        for (_, name, _) in QUANTILES {
            write!(table, "{name:>12}")?;
        }
        writeln!(table, "{:>12}", "answers")?;
        latency_row(table, "all", &measured.all_latencies())?;
        for way in self.ways() {
            latency_row(table, way.as_str(), &measured.latencies[&way])?;
        }
        counts(table, "action", &measured.actions)?;
        counts(table, "reason", &measured.reasons)?;
        counts(table, "error", &measured.error_kinds)?;
        writeln!(table)?;
        let errors = HumanCount(measured.errors);
        write!(table, "Errors: {errors}")?;
        if measured.come_back > 0 {
            write!(table, ", {} of them with Retry-After", HumanCount(measured.come_back))?;
        }
        if measured.applied + measured.failed > 0 {
            let [applied, failed] = [measured.applied, measured.failed].map(HumanCount);
            write!(table, "\nReports taken: {applied} applied, {failed} failed")?;
        }
        let [all, whole, resumed] =
            [opened.connections, opened.whole, opened.resumed].map(HumanCount);
        writeln!(table, "\nConnections: {all} (TLS handshakes: {whole} whole, {resumed} resumed)")?;
        self.write_own_part(table)
    }

    /// Writes how well the simulation itself kept up.
    fn write_own_part(&self, table: &mut String) -> std::fmt::Result {
        let cores = self.cpu.as_secs_f64() / self.paced.elapsed.as_secs_f64().max(0.001);
        writeln!(table, "This process used {cores:.2} cores")?;
        let Measured { late, behind_at_worst, checks, .. } = self.measured;
        if late > 0 {
            writeln!(
                table,
                "Behind by {:.1} ms at worst: {} checks began more than 10 ms after they were due{}",
                milliseconds(behind_at_worst),
                HumanCount(late),
                if self.paced.was_full {
                    ", as too many others waited for their answers"
                } else if late > checks / 100 {
                    "; this machine does not keep up"
                } else {
                    ""
                },
            )?;
        }
        if self.paced.unasked > 0 {
            let unasked = HumanCount(self.paced.unasked);
            writeln!(table, "{unasked} checks that were due were never asked")?;
        }
        Ok(())
    }
}

impl Recent {
    /// Returns one line of progress, over the last `seconds`.
    pub fn line(&self, elapsed: Duration, since_last: Duration) -> String {
        let checks = u32::try_from(self.checks).unwrap_or(u32::MAX);
        format!(
            "{:>5} s  {:>8.1} checks a second, p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms, {} errors",
            elapsed.as_secs(),
            f64::from(checks) / since_last.as_secs_f64().max(0.001),
            at_quantile(&self.latencies, 0.5),
            at_quantile(&self.latencies, 0.99),
            at_quantile(&self.latencies, 1.0),
            HumanCount(self.errors),
        )
    }
}

fn latency_row(table: &mut String, name: &str, latencies: &Histogram<u64>) -> std::fmt::Result {
    write!(table, "{name:<10}")?;
    for (quantile, ..) in QUANTILES {
        if latencies.is_empty() {
            write!(table, "{:>12}", "-")?;
        } else {
            write!(table, "{:>9.2} ms", at_quantile(latencies, quantile))?;
        }
    }
    writeln!(table, "{:>12}", HumanCount(latencies.len()).to_string())
}

fn counts(table: &mut String, title: &str, counts: &Counts) -> std::fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(table, "\n{title:<46}{:>12}", "number")?;
    for (name, count) in counts {
        writeln!(table, "{name:<46}{:>12}", HumanCount(*count).to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Refused, Told};
    use super::super::fleet::Way;
    use super::super::line::Opened;
    use super::super::load::Paced;
    use super::super::tally::Tally;
    use super::*;

    #[test]
    fn a_table_says_what_went_wrong() {
        let tally = Tally::new().unwrap();
        let told = Told { action: "none".into(), reason: "up_to_date".into(), target: None };
        tally.told(Way::Kept, Duration::from_millis(3), &told);
        let busy = Refused { kind: "503 too_many_checks".to_owned(), come_back: true };
        tally.refused(Way::Kept, Duration::from_millis(1), &busy);
        tally.begun(Duration::from_millis(250));
        let outcome = Outcome {
            planned_rate: 10.0,
            clients: 100,
            paced: Paced { elapsed: Duration::from_secs(2), unasked: 7, was_full: false },
            measured: tally.measured(),
            opened: Opened::default(),
            cpu: Duration::from_millis(500),
            is_interrupted: false,
        };
        assert!(outcome.verdict().is_ok(), "errors are part of a result");
        let table = outcome.table();
        for part in [
            "2 checks in 2.0 s: 1.0 a second, planned 10.0",
            "503 too_many_checks                                      1",
            "Errors: 1, 1 of them with Retry-After",
            "Behind by 250.0 ms at worst: 1 checks began",
            "7 checks that were due were never asked",
            "0.25 cores",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
    }
}
