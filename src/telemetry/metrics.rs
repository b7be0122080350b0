//! Prometheus metrics: their names and what they count stand here, in one place.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Starts counting; the handle writes the text that Prometheus reads.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
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
    describe_counter!("imagedepot_promotions_total", "Promotions and rollbacks acknowledged");
    describe_counter!("imagedepot_login_failures_total", "Credentials that were refused");
    describe_counter!(
        "imagedepot_access_log_lines_dropped_total",
        "Lines the access log had no room for"
    );
    describe_gauge!("imagedepot_downloads", "Downloads of files under way");
    describe_gauge!("imagedepot_snapshot_version", "The catalog version that clients see");
    describe_gauge!("imagedepot_store_free_bytes", Unit::Bytes, "Free bytes of the store's disk");
    describe_gauge!(
        "imagedepot_tree_steps_due",
        "Steps that the last look at the tree found to do"
    );
}
