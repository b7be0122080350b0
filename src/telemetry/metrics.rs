//! Prometheus metrics: describes them from the table ([`crate::model::metric`]), renders them, and counts requests.
//!
//! Counters that every request increments are looked up once and kept. Together with the order of routes
//! (`api::routes`) and ids without a system call, this took an update check on a kept-alive connection from 9.3 to 7.4
//! us of CPU.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::Method;
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::process;
use crate::model::metric::{self, Kind, TABLE};
use crate::model::program;

/// The bounds of the buckets in seconds, from a check answered from memory to a slow upload.
const DURATIONS: [f64; 12] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The interval at which measured durations are put into their buckets; until then each takes memory.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// The label of requests that no route matches.
const NO_ROUTE: &str = "none";

/// Starts counting; the returned handle writes the text that Prometheus reads.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = builder()?.install_recorder()?;
    describe();
    metric::begin_at_zero();
    for (method, class) in METHODS.iter().flat_map(|method| CLASSES.map(|class| (*method, class))) {
        metric::REQUESTS.with([method, class]).increment(0);
    }
    let commit = program::commit().unwrap_or("unknown");
    metric::BUILD_INFO.with([program::VERSION, commit]).set(1);
    process::note_start();
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let durations = |name: &str| Matcher::Full(name.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(durations(metric::REQUEST_SECONDS.name()), &DURATIONS)?
        .set_buckets_for_metric(durations(metric::STORE_REQUEST_SECONDS.name()), &DURATIONS)
}

/// Puts durations into their buckets until cancelled, so that they do not pile up if nobody reads the metrics.
pub async fn keep_folding(handle: PrometheusHandle) {
    loop {
        tokio::time::sleep(FOLD_EVERY).await;
        handle.run_upkeep();
    }
}

/// The methods that become labels. A client must not be able to create series of its own.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BITS_POST", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counts a request that was answered, and records how long it took.
pub fn request_answered(request: &HttpRequest, status: u16, took: Duration) {
    let method = place_of(request.method());
    count_answer(method, status);
    note_duration(request, method, took);
}

fn place_of(method: &Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1)
}

fn count_answer(method: usize, status: u16) {
    static COUNTERS: [[OnceLock<Counter>; CLASSES.len()]; METHODS.len()] =
        [const { [const { OnceLock::new() }; CLASSES.len()] }; METHODS.len()];
    let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
    COUNTERS[method][class]
        .get_or_init(|| {
            let (method, class) = (METHODS[method], CLASSES[class]);
            metric::REQUESTS.with([method, class])
        })
        .increment(1);
}

fn note_duration(request: &HttpRequest, method: usize, took: Duration) {
    thread_local! {
        /// The histograms by route and method. Each worker has its own, so that none waits for a lock.
        static KNOWN: RefCell<HashMap<String, [Option<Histogram>; METHODS.len()]>> = RefCell::default();
    }
    let route = request.match_pattern();
    let route = route.as_deref().unwrap_or(NO_ROUTE);
    KNOWN.with_borrow_mut(|known| {
        if let Some(series) = known.get(route).and_then(|series| series[method].as_ref()) {
            series.record(took);
            return;
        }
        let series = metric::REQUEST_SECONDS.with([shown(route), METHODS[method].to_owned()]);
        series.record(took);
        known.entry(route.to_owned()).or_default()[method] = Some(series);
    });
}

/// Returns a route without the expressions behind its parameters' names.
fn shown(route: &str) -> String {
    let parts = route.split('{').enumerate().map(|(index, part)| match part.split_once('}') {
        Some((name, rest)) if index > 0 => {
            format!("{{{}}}{rest}", name.split(':').next().unwrap_or(name))
        }
        _ => part.to_owned(),
    });
    parts.collect()
}

/// Counts bytes of bodies sent.
pub fn bytes_sent(bytes: u64) {
    static COUNTER: LazyLock<Counter> = LazyLock::new(|| metric::SENT_BYTES.series());
    COUNTER.increment(bytes);
}

/// Describes each metric to Prometheus, as the table has it.
fn describe() {
    for metric in TABLE {
        let (name, unit, text) = (metric.name, metric.unit, metric.description);
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(name, unit, text),
            Kind::Gauge => metrics::describe_gauge!(name, unit, text),
            Kind::Histogram => metrics::describe_histogram!(name, unit, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(count: impl FnOnce()) -> String {
        let recorder = builder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            count();
            recorder.handle().render()
        })
    }

    #[test]
    fn every_metric_of_the_table_is_described() {
        let text = render(|| {
            for metric in TABLE {
                // A metric without a value is not shown.
                match metric.kind {
                    Kind::Counter => metrics::counter!(metric.name).increment(1),
                    Kind::Gauge => metrics::gauge!(metric.name).set(1),
                    Kind::Histogram => metrics::histogram!(metric.name).record(0.02),
                }
            }
        });
        for metric in TABLE {
            let (name, description) = (metric.name, metric.description);
            let (kind, first) = match metric.kind {
                Kind::Counter => ("counter", " 1"),
                Kind::Gauge => ("gauge", " 1"),
                Kind::Histogram => ("histogram", "_bucket{le=\"0.001\"} 0"),
            };
            let expected =
                format!("# HELP {name} {description}\n# TYPE {name} {kind}\n{name}{first}\n");
            assert!(text.contains(&expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn counters_without_labels_are_there_before_they_count() {
        let text = render(metric::begin_at_zero);
        assert!(text.contains("\nimagedepot_promotions_total 0\n"), "{text}");
        assert!(!text.contains("\nimagedepot_requests_total"), "its labels are not known there");
    }

    #[test]
    fn a_route_is_shown_without_its_expressions() {
        assert_eq!(shown("/MEDVImages/{path:.*}"), "/MEDVImages/{path}");
        assert_eq!(shown("/api/v1/images/{image}/channels"), "/api/v1/images/{image}/channels");
        assert_eq!(shown("/livez"), "/livez");
    }
}
