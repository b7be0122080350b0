//! Prometheus metrics: their names and what they count stand here, in one place.
//!
//! What every request counts has its counter looked up once and kept. Together with the order of
//! routes (`api::routes`) and ids without a system call that took a kept-alive update
//! check from 9.3 to 7.4 us of CPU.

use std::sync::{LazyLock, OnceLock};

use actix_web::http::Method;
use metrics::Counter;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Starts counting; the handle writes the text that Prometheus reads.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    describe_requests();
    describe_state();
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
            metrics::counter!("imagedepot_requests_total", "method" => method, "status" => class)
        })
        .increment(1);
}

/// Counts bytes of bodies sent.
pub fn bytes_sent(bytes: u64) {
    static COUNTER: LazyLock<Counter> =
        LazyLock::new(|| metrics::counter!("imagedepot_sent_bytes_total"));
    COUNTER.increment(bytes);
}

fn describe_requests() {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_counter!(
        "imagedepot_requests_total",
        "Requests answered, by method and class of status"
    );
    describe_counter!("imagedepot_sent_bytes_total", Unit::Bytes, "Bytes of bodies sent");
    describe_counter!("imagedepot_update_checks_total", "Update checks answered, by action");
    describe_counter!(
        "imagedepot_uploaded_bytes_total",
        Unit::Bytes,
        "Bytes of files received and kept"
    );
    describe_counter!("imagedepot_uploads_begun_total", "Resumable uploads begun");
    describe_counter!("imagedepot_uploads_finished_total", "Uploads that became a draft's file");
    describe_counter!(
        "imagedepot_uploads_ended_total",
        "Resumable uploads that ended without a file, by action: cancelled or expired"
    );
    describe_gauge!("imagedepot_uploads_open", "Uploads that the last sweep found open");
    describe_counter!(
        "imagedepot_bits_promotions_refused_total",
        "Revisions that BITS completed and bits.promote_to could not promote"
    );
    describe_counter!("imagedepot_promotions_total", "Promotions and rollbacks acknowledged");
    describe_counter!("imagedepot_login_failures_total", "Credentials that were refused");
    describe_counter!(
        "imagedepot_access_log_lines_dropped_total",
        "Lines of the access log that were lost: too many at once, or the disk took none"
    );
    describe_counter!(
        "imagedepot_tls_handshakes_refused_total",
        "Connections that TLS did not let in, by reason"
    );
    describe_counter!(
        "imagedepot_connections_cut_total",
        "Connections that were closed because their client kept them for nothing"
    );
}

fn describe_state() {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_gauge!(
        "imagedepot_tls_certificate_expiry_timestamp_seconds",
        "When the first certificate of the listener's chain ends"
    );
    describe_gauge!(
        "imagedepot_tls_crl_next_update_timestamp_seconds",
        "When the first of the listener's revocation lists is past its next update"
    );
    describe_gauge!(
        "imagedepot_tls_reload_success",
        "Whether the listener's TLS files, as they are now, are in force"
    );
    describe_gauge!(
        "imagedepot_tls_reload_success_timestamp_seconds",
        "When the listener's TLS files were last read and taken"
    );
    describe_counter!(
        "imagedepot_scrubbed_bytes_total",
        Unit::Bytes,
        "Stored bytes that were read again and compared with their digest"
    );
    describe_counter!(
        "imagedepot_scrub_damage_found_total",
        "Stored blobs that were found damaged"
    );
    describe_gauge!("imagedepot_downloads", "Downloads of files under way");
    describe_gauge!("imagedepot_snapshot_version", "The catalog version that clients see");
    describe_gauge!("imagedepot_store_free_bytes", Unit::Bytes, "Free bytes of the store's disk");
    describe_gauge!(
        "imagedepot_tree_steps_due",
        "Steps of this server's last look at the tree that are not done"
    );
    describe_gauge!(
        "imagedepot_publication_pending_since_timestamp_seconds",
        "Since when the tree is behind the catalog; 0 where it is not"
    );
    describe_gauge!(
        "imagedepot_manifest_expiry_timestamp_seconds",
        "When the first of the channels' manifests expires"
    );
    describe_gauge!(
        "imagedepot_scrub_oldest_verified_timestamp_seconds",
        "Every stored file was read again, or has arrived, since then"
    );
    describe_gauge!("imagedepot_scrub_damaged_blobs", "Stored blobs whose bytes are damaged");
}
