//! The table of metrics, with the name, kind, labels, unit and description of each.
//!
//! The table is in the lowest layer, because every layer counts something. A new metric needs a line here and a place
//! that counts it. If nothing counts it, the compiler reports an unused item. `telemetry::metrics` uses the same lines
//! to describe the metrics to Prometheus. Nothing else calls the macros of the crate `metrics`
//! (`tests/integration/layers.rs`).

use metrics::{Label, SharedString, Unit};

/// One line of the table.
pub(crate) struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    pub unit: Unit,
    pub description: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A value that only goes up.
pub(crate) struct Counter<const LABELS: usize> {
    name: &'static str,
    labels: [&'static str; LABELS],
}

/// A value that goes up and down.
pub(crate) struct Gauge<const LABELS: usize> {
    name: &'static str,
    labels: [&'static str; LABELS],
}

/// A distribution of observed values.
pub(crate) struct Histogram<const LABELS: usize> {
    name: &'static str,
    labels: [&'static str; LABELS],
}

macro_rules! table {
    ($($constant:ident: $kind:ident $name:literal [$($label:literal),*] $unit:ident, $description:literal;)+) => {
        $(
            pub(crate) static $constant: $kind<{ count(&[$($label),*]) }> =
                $kind { name: $name, labels: [$($label),*] };
        )+

        pub(crate) const TABLE: &[Metric] = &[$(
            Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                unit: Unit::$unit,
                description: $description,
            },
        )+];
    };
}

table! {
    REQUESTS: Counter "imagedepot_requests_total" ["method", "status"] Count,
        "Requests answered, by method and class of status";
    REQUEST_SECONDS: Histogram "imagedepot_http_request_duration_seconds" ["route", "method"] Seconds,
        "Time until the answer to a request began, by route and method";
    SENT_BYTES: Counter "imagedepot_sent_bytes_total" [] Bytes,
        "Bytes of response bodies that were sent";
    UPDATE_CHECKS: Counter "imagedepot_update_checks_total" ["action"] Count,
        "Update checks answered, by action";
    FLEET_CHECKS_RECORDED: Counter "imagedepot_fleet_checks_recorded_total" [] Count,
        "Update checks that were written to the record of clients";
    FLEET_CHECKS_DROPPED: Counter "imagedepot_fleet_checks_dropped_total" ["reason"] Count,
        "Update checks that were answered and not recorded, by reason: memory_full or new_clients";
    FLEET_CHECKS_WAITING: Gauge "imagedepot_fleet_checks_waiting" [] Count,
        "Update checks that are not written to the record of clients yet";
    FLEET_BEHIND: Gauge "imagedepot_fleet_behind_seconds" [] Seconds,
        "Time since the oldest update check that is not written yet";
    FLEET_CLIENTS: Gauge "imagedepot_fleet_clients" [] Count,
        "Clients on record, as they were last counted";
    FLEET_RECORDS_REMOVED: Counter "imagedepot_fleet_records_removed_total" [] Count,
        "Rows of the record of clients that were removed because of fleet.max_clients";
    MIRRORS: Gauge "imagedepot_mirrors" [] Count,
        "Mirrors on record";
    MIRRORS_BEHIND: Gauge "imagedepot_mirrors_behind" [] Count,
        "Mirrors on record that do not have the newest sequence of a channel that they hold";
    UPLOADED_BYTES: Counter "imagedepot_uploaded_bytes_total" [] Bytes,
        "Bytes of files received and kept";
    UPLOADS_BEGUN: Counter "imagedepot_uploads_begun_total" [] Count,
        "Resumable uploads begun";
    UPLOADS_FINISHED: Counter "imagedepot_uploads_finished_total" [] Count,
        "Uploads that became a draft's file";
    UPLOADS_ENDED: Counter "imagedepot_uploads_ended_total" ["action"] Count,
        "Resumable uploads that ended without a file, by action: cancelled or expired";
    UPLOADS_OPEN: Gauge "imagedepot_uploads_open" [] Count,
        "Uploads that the last sweep found open";
    BITS_PROMOTIONS_REFUSED: Counter "imagedepot_bits_promotions_refused_total" [] Count,
        "Revisions that BITS completed and bits.promote_to could not promote";
    REVISIONS: Gauge "imagedepot_revisions" ["state"] Count,
        "Revisions in the catalog, by state; deleted revisions stay as tombstones";
    REVISIONS_SEALED: Counter "imagedepot_revisions_sealed_total" [] Count,
        "Drafts that were sealed";
    PROMOTIONS: Counter "imagedepot_promotions_total" [] Count,
        "Promotions, rollbacks and withdrawals acknowledged";
    EVENT_STREAMS: Gauge "imagedepot_event_streams" [] Count,
        "Streams of events that are open";
    WEBHOOK_DELIVERIES: Counter "imagedepot_webhook_deliveries_total" ["outcome"] Count,
        "Attempts to send an event to a webhook, by outcome: delivered, failed or set_aside";
    WEBHOOK_SET_ASIDE: Gauge "imagedepot_webhook_deliveries_set_aside" [] Count,
        "Deliveries to webhooks that were set aside, as they were last counted";
    ROLLOUTS_HALTED: Gauge "imagedepot_rollouts_halted" [] Count,
        "Rollouts that are halted, by the failures that clients reported or by a person";
    LOGIN_FAILURES: Counter "imagedepot_login_failures_total" [] Count,
        "Credentials that were refused";
    ACCESS_LOG_LINES_DROPPED: Counter "imagedepot_access_log_lines_dropped_total" [] Count,
        "Lines of the access log that were lost: too many at once, or the disk did not accept them";
    TLS_HANDSHAKES_REFUSED: Counter "imagedepot_tls_handshakes_refused_total" ["reason"] Count,
        "Connections that were refused in the TLS handshake, by reason";
    CONNECTIONS_CUT: Counter "imagedepot_connections_cut_total" [] Count,
        "Connections that were closed because their client was too slow or idle";
    CONNECTIONS_REFUSED: Counter "imagedepot_connections_refused_total" [] Count,
        "Connections that were refused because too many were open, from one address or in all";
    TLS_CERTIFICATE_EXPIRY: Gauge "imagedepot_tls_certificate_expiry_timestamp_seconds" ["listener"] Seconds,
        "Earliest expiry of the certificates in the listener's chain";
    TLS_CRL_NEXT_UPDATE: Gauge "imagedepot_tls_crl_next_update_timestamp_seconds" ["listener"] Seconds,
        "Earliest next update of the listener's revocation lists";
    TLS_RELOAD_SUCCESS: Gauge "imagedepot_tls_reload_success" ["listener"] Count,
        "1 if the listener uses the current TLS files, 0 if they could not be loaded";
    TLS_RELOAD_SUCCESS_AT: Gauge "imagedepot_tls_reload_success_timestamp_seconds" ["listener"] Seconds,
        "Time at which the listener's TLS files were last loaded successfully";
    SCRUBBED_BYTES: Counter "imagedepot_scrubbed_bytes_total" [] Bytes,
        "Stored bytes that were read again and compared with their digest";
    SCRUB_DAMAGE_FOUND: Counter "imagedepot_scrub_damage_found_total" [] Count,
        "Stored blobs that were found damaged";
    TRANSFER_FILES_MADE: Counter "imagedepot_transfer_files_made_total" ["kind"] Count,
        "Chunk lists and deltas that were made, by kind: chunks or delta";
    TRANSFER_FILE_BYTES: Counter "imagedepot_transfer_file_bytes_total" ["kind"] Bytes,
        "Bytes of the chunk lists and deltas that were made, by kind: chunks or delta";
    TRANSFER_FILE_UNDER_WAY: Gauge "imagedepot_transfer_file_under_way" [] Count,
        "1 while this server makes a chunk list or a delta";
    DOWNLOADS: Gauge "imagedepot_downloads" [] Count,
        "File downloads in progress";
    SNAPSHOT_VERSION: Gauge "imagedepot_snapshot_version" [] Count,
        "The catalog version that clients see";
    SNAPSHOT_AGE: Gauge "imagedepot_snapshot_age_seconds" [] Seconds,
        "Time since the snapshot was last compared with the catalog";
    STORE_FREE_BYTES: Gauge "imagedepot_store_free_bytes" [] Bytes,
        "Free bytes of the store's disk";
    STORE_REQUESTS: Counter "imagedepot_store_requests_total" ["kind", "outcome"] Count,
        "Requests to the bucket, repeats included, by kind and outcome";
    STORE_REQUEST_SECONDS: Histogram "imagedepot_store_request_duration_seconds" ["kind"] Seconds,
        "Time until the bucket's answer began, or the request was given up, by kind";
    CATALOG_TRANSACTIONS: Counter "imagedepot_catalog_transactions_total" ["kind"] Count,
        "Transactions begun on the catalog's database, by kind";
    STORED_BYTES: Gauge "imagedepot_stored_bytes" [] Bytes,
        "Bytes in the store, including bytes that are arriving and bytes that are about to be removed";
    TREE_STEPS_DUE: Gauge "imagedepot_tree_steps_due" [] Count,
        "Steps that this server's last comparison of tree and catalog found and that are not done yet";
    PUBLICATION_PENDING_SINCE: Gauge "imagedepot_publication_pending_since_timestamp_seconds" [] Seconds,
        "Time since which the tree has been behind the catalog; 0 if it is not";
    MANIFEST_EXPIRY: Gauge "imagedepot_manifest_expiry_timestamp_seconds" [] Seconds,
        "Earliest expiry of the channels' manifests";
    TRUST_EXPIRY: Gauge "imagedepot_trust_expiry_timestamp_seconds" ["role"] Seconds,
        "Earliest expiry of the signed metadata of the tree, by role";
    TRUST_SIGNING_DUE: Gauge "imagedepot_trust_signing_due_timestamp_seconds" [] Seconds,
        "Time by which some metadata of the tree has to be signed again";
    TRUST_PENDING: Gauge "imagedepot_trust_pending" [] Count,
        "1 if changes wait to be signed with keys that are kept elsewhere, else 0";
    TRUST_SIGNINGS: Counter "imagedepot_trust_signings_total" [] Count,
        "Generations of the tree's metadata that this server has signed";
    SCRUB_OLDEST_VERIFIED: Gauge "imagedepot_scrub_oldest_verified_timestamp_seconds" [] Seconds,
        "Time since which every stored file was read again or uploaded";
    SCRUB_DAMAGED_BLOBS: Gauge "imagedepot_scrub_damaged_blobs" [] Count,
        "Stored blobs whose bytes are damaged";
    NEWEST_BACKUP: Gauge "imagedepot_backup_newest_timestamp_seconds" [] Seconds,
        "Time at which the newest backup was taken; 0 if none is known";
    DEGRADED: Gauge "imagedepot_degraded" ["part"] Count,
        "1 if the part does not work at the moment, else 0; /readyz names the same parts";
    BUILD_INFO: Gauge "imagedepot_build_info" ["version", "commit"] Count,
        "Always 1; the labels identify the program";
    PROCESS_MEMORY: Gauge "process_resident_memory_bytes" [] Bytes,
        "Memory that the process uses";
    PROCESS_OPEN_FILES: Gauge "process_open_fds" [] Count,
        "Files and connections that the process has open";
    PROCESS_MOST_FILES: Gauge "process_max_fds" [] Count,
        "Files and connections that the process may have open";
    PROCESS_STARTED: Gauge "process_start_time_seconds" [] Seconds,
        "Time at which the process started";
}

const fn count(labels: &[&str]) -> usize {
    labels.len()
}

impl<const LABELS: usize> Counter<LABELS> {
    /// Returns the series with these label values.
    pub fn with<V: Into<SharedString>>(&self, values: [V; LABELS]) -> metrics::Counter {
        metrics::counter!(self.name, pairs(self.labels, values))
    }
}

impl Counter<0> {
    /// Returns the only series, for callers that keep it.
    pub fn series(&self) -> metrics::Counter {
        metrics::counter!(self.name)
    }

    pub fn increment(&self, by: u64) {
        self.series().increment(by);
    }
}

/// Registers every counter without labels at zero, because an alert rule does not notice a first count that appears
/// together with its series. Counters with labels start where their label values are known.
pub(crate) fn begin_at_zero() {
    for metric in TABLE {
        if metric.kind == Kind::Counter && metric.labels.is_empty() {
            metrics::counter!(metric.name).increment(0);
        }
    }
}

impl<const LABELS: usize> Histogram<LABELS> {
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the series with these label values.
    pub fn with<V: Into<SharedString>>(&self, values: [V; LABELS]) -> metrics::Histogram {
        metrics::histogram!(self.name, pairs(self.labels, values))
    }
}

impl<const LABELS: usize> Gauge<LABELS> {
    /// Returns the series with these label values.
    pub fn with<V: Into<SharedString>>(&self, values: [V; LABELS]) -> metrics::Gauge {
        metrics::gauge!(self.name, pairs(self.labels, values))
    }
}

impl Gauge<0> {
    pub fn set(&self, value: f64) {
        metrics::gauge!(self.name).set(value);
    }

    pub fn increment(&self) {
        metrics::gauge!(self.name).increment(1);
    }

    pub fn decrement(&self) {
        metrics::gauge!(self.name).decrement(1);
    }
}

fn pairs<V: Into<SharedString>, const LABELS: usize>(
    labels: [&'static str; LABELS],
    values: [V; LABELS],
) -> Vec<Label> {
    labels.into_iter().zip(values).map(|(label, value)| Label::new(label, value)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Checks the naming rules of Prometheus.
    #[test]
    fn a_name_tells_its_kind_and_unit() {
        let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), TABLE.len(), "each name stands once");
        for Metric { name, kind, unit, .. } in TABLE {
            let is_standard = name.starts_with("process_");
            assert!(name.starts_with("imagedepot_") || is_standard, "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let stem = name.trim_end_matches("_total");
            assert_eq!(stem.ends_with("_bytes"), *unit == Unit::Bytes, "{name}");
            assert_eq!(stem.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
        }
    }

    #[test]
    fn alert_rules_and_documents_name_no_other_metrics() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut named = 0;
        for file in ["docs", "deploy/prometheus", "deploy/grafana"]
            .iter()
            .flat_map(|folder| files_in(&root.join(folder)))
        {
            let text = std::fs::read_to_string(&file).unwrap();
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.starts_with("imagedepot_")) {
                // The series of a histogram.
                let word = word.trim_end_matches("_bucket");
                let known = TABLE.iter().any(|metric| metric.name == word);
                assert!(known, "{} names {word}", file.display());
                named += 1;
            }
        }
        assert!(named > 50, "only {named} were found");
    }

    #[test]
    fn the_reference_has_every_metric_with_its_kind_and_labels() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
        let text = std::fs::read_to_string(path).unwrap();
        let section = text.split("\n## Metrics\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let cells = |line: &str| -> Vec<String> {
            let cells = line.trim_matches('|').split('|').take(3);
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        };
        let documented: BTreeSet<_> =
            section.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
        let real = |metric: &Metric| -> Vec<String> {
            let labels = metric.labels.join(", ");
            let labels = if labels.is_empty() { "none".to_owned() } else { labels };
            vec![metric.name.to_owned(), format!("{:?}", metric.kind).to_lowercase(), labels]
        };
        assert_eq!(documented, TABLE.iter().map(real).collect());
    }

    fn files_in(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
    }
}
