//! The result of a simulation, its exit code, and its document for scripts. The table for people is in `table`.

use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::fleet::Way;
use super::line::Opened;
use super::load::Paced;
use super::tally::Measured;
use crate::client::error::Failure;
use crate::client::exit_code::Exit;

/// The quantiles that are shown, with their names in tables and documents.
pub const QUANTILES: [(f64, &str, &str); 4] = [
    (0.5, "p50", "p50_ms"),
    (0.99, "p99", "p99_ms"),
    (0.999, "p99.9", "p999_ms"),
    (1.0, "worst", "worst_ms"),
];

/// The result of a simulation.
#[derive(Debug)]
pub struct Outcome {
    pub planned_rate: f64,
    pub clients: u32,
    pub paced: Paced,
    pub measured: Measured,
    pub opened: Opened,
    /// The CPU time that this process took meanwhile.
    pub cpu: Duration,
    pub is_interrupted: bool,
}

impl Outcome {
    /// Returns the failure that the exit code tells of, beside the result.
    pub fn verdict(&self) -> Result<(), Failure> {
        let Measured { checks, answered, .. } = self.measured;
        if self.is_interrupted {
            return Err(Failure::new(Exit::Interrupted, "ended early with Ctrl-C"));
        }
        if checks > 0 && answered == 0 {
            let message = format!("not one of {} checks was answered", HumanCount(checks));
            return Err(Failure::new(Exit::Unreachable, message));
        }
        Ok(())
    }

    /// Returns the result for scripts.
    pub fn document(&self) -> Value {
        let Self { measured, opened, .. } = self;
        let all = measured.all_latencies();
        let by_way = |way| {
            let latencies = &measured.latencies[&way];
            let mut document = latency_document(latencies);
            document["answers"] = json!(latencies.len());
            (way.as_str().to_owned(), document)
        };
        let ways: serde_json::Map<_, _> = self.ways().map(by_way).collect();
        let mut document = latency_document(&all);
        let more = json!({
            "checks": measured.checks,
            "rate": round(self.rate()),
            "errors": measured.errors,
            "actions": measured.actions,
            "reasons": measured.reasons,
            "error_kinds": measured.error_kinds,
            "retry_after": measured.come_back,
            "reports": { "applied": measured.applied, "failed": measured.failed },
            "ways": ways,
            "connections": {
                "opened": opened.connections,
                "tls_whole": opened.whole,
                "tls_resumed": opened.resumed,
            },
            "clients": self.clients,
            "planned_rate": round(self.planned_rate),
            "seconds": round(self.paced.elapsed.as_secs_f64()),
            "behind_ms": milliseconds(self.measured.behind_at_worst),
            "late": measured.late,
            "unasked": self.paced.unasked,
            "cpu_seconds": round(self.cpu.as_secs_f64()),
            "interrupted": self.is_interrupted,
        });
        if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
            document.extend(more);
        }
        document
    }

    /// Returns the checks a second.
    pub fn rate(&self) -> f64 {
        let checks = u32::try_from(self.measured.checks).unwrap_or(u32::MAX);
        f64::from(checks) / self.paced.elapsed.as_secs_f64().max(0.001)
    }

    /// Returns the ways that had an answer.
    pub fn ways(&self) -> impl Iterator<Item = Way> {
        Way::ALL.into_iter().filter(|way| !self.measured.latencies[way].is_empty())
    }
}

fn latency_document(latencies: &Histogram<u64>) -> Value {
    let value = |(quantile, _, name): (f64, &str, &str)| {
        let value = (!latencies.is_empty()).then(|| at_quantile(latencies, quantile));
        (name.to_owned(), json!(value))
    };
    Value::Object(QUANTILES.into_iter().map(value).collect())
}

/// Returns a latency in milliseconds.
pub fn at_quantile(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    milliseconds(Duration::from_micros(latencies.value_at_quantile(quantile).min(latencies.max())))
}

/// Returns milliseconds to the microsecond.
pub fn milliseconds(time: Duration) -> f64 {
    round(time.as_secs_f64() * 1000.0)
}

/// Rounds to three places.
fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::answer::Told;
    use super::super::tally::Tally;
    use super::*;

    fn outcome(tally: &Tally) -> Outcome {
        Outcome {
            planned_rate: 10.0,
            clients: 100,
            paced: Paced { elapsed: Duration::from_secs(2), unasked: 0, was_full: false },
            measured: tally.measured(),
            opened: Opened::default(),
            cpu: Duration::from_millis(500),
            is_interrupted: false,
        }
    }

    fn told(tally: &Tally, milliseconds: u64) {
        let told = Told { action: "none".into(), reason: "up_to_date".into(), target: None };
        tally.told(Way::Kept, Duration::from_millis(milliseconds), &told);
    }

    #[test]
    fn a_script_finds_what_the_contract_promises() {
        let tally = Tally::new().unwrap();
        for milliseconds in 1..=20 {
            told(&tally, milliseconds);
        }
        let document = outcome(&tally).document();
        assert_eq!((&document["checks"], &document["rate"]), (&json!(20), &json!(10.0)));
        for (name, expected) in
            [("p50_ms", 10.0), ("p99_ms", 20.0), ("p999_ms", 20.0), ("worst_ms", 20.0)]
        {
            let value = document[name].as_f64().unwrap();
            assert!((value - expected).abs() < 0.02, "{name}: {value}");
        }
        assert_eq!(document["errors"], 0);
        assert_eq!(document["actions"], json!({ "none": 20 }));
        assert_eq!(document["reasons"], json!({ "up_to_date": 20 }));
        assert_eq!(document["ways"].as_object().unwrap().len(), 1);
    }

    #[test]
    fn without_an_answer_there_is_no_latency_and_the_exit_code_says_so() {
        let tally = Tally::new().unwrap();
        tally.unanswered(Way::Fresh, None, "cannot connect");
        let mut outcome = outcome(&tally);
        assert_eq!(outcome.document()["p99_ms"], Value::Null);
        assert_eq!(outcome.verdict().unwrap_err().exit(), Exit::Unreachable);
        outcome.is_interrupted = true;
        assert_eq!(outcome.verdict().unwrap_err().exit(), Exit::Interrupted);
    }
}
