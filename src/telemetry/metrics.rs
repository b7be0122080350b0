//! Prometheus metrics: describes them from the table ([`crate::model::metric`]), writes them, and counts requests.
//!
//! What every request counts has its counter looked up once and kept. Together with the order of
//! routes (`api::routes`) and ids without a system call that took a kept-alive update
//! check from 9.3 to 7.4 us of CPU.

use std::sync::{LazyLock, OnceLock};

use actix_web::http::Method;
use metrics::Counter;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::model::metric::{self, Kind, TABLE};

/// Starts counting; the handle writes the text that Prometheus reads.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    describe();
    Ok(handle)
}

/// The methods that become labels: a client must not make series of its own.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BITS_POST", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counts a request that was answered.
pub fn request_answered(method: &Method, status: u16) {
    static COUNTERS: [[OnceLock<Counter>; CLASSES.len()]; METHODS.len()] =
        [const { [const { OnceLock::new() }; CLASSES.len()] }; METHODS.len()];
    let method =
        METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
    let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
    COUNTERS[method][class]
        .get_or_init(|| {
            let (method, class) = (METHODS[method], CLASSES[class]);
            metric::REQUESTS.with([method, class])
        })
        .increment(1);
}

/// Counts bytes of bodies sent.
pub fn bytes_sent(bytes: u64) {
    static COUNTER: LazyLock<Counter> = LazyLock::new(|| metric::SENT_BYTES.series());
    COUNTER.increment(bytes);
}

/// Tells Prometheus what each metric is, as the table has it.
fn describe() {
    for metric in TABLE {
        let (name, unit, text) = (metric.name, metric.unit, metric.description);
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(name, unit, text),
            Kind::Gauge => metrics::describe_gauge!(name, unit, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_table_is_described() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let text = metrics::with_local_recorder(&recorder, || {
            describe();
            for metric in TABLE {
                // What nothing has counted yet is not shown.
                match metric.kind {
                    Kind::Counter => metrics::counter!(metric.name).increment(1),
                    Kind::Gauge => metrics::gauge!(metric.name).set(1),
                }
            }
            recorder.handle().render()
        });
        for metric in TABLE {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let (name, description) = (metric.name, metric.description);
            let expected = format!("# HELP {name} {description}\n# TYPE {name} {kind}\n{name} 1\n");
            assert!(text.contains(&expected), "{expected} is not in\n{text}");
        }
    }
}
