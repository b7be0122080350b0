//! `POST /clients/{client}/reports`: what client machines did with a revision.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, post};
use serde::Deserialize;
use utoipa::ToSchema;

use super::conventions::authentication::client_certificate;
use super::conventions::body::JsonBody;
use super::conventions::caller::Visitor;
use super::conventions::client_address;
use super::conventions::problem::{ChangeRefusals, Code, Problem};
use super::depot::Depot;
use crate::access::Denied;
use crate::catalog::Error;
use crate::catalog::fleet::Report;
use crate::catalog::rules::WhoReports;
use crate::model::report::{ReportSource, ReportStatus};
use crate::model::{ChannelName, ClientId, ImageName, ReadAccess};

/// A client's report.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Report, example = json!({"image": "win7-office", "channel": "production", "revision": 12, "status": "applied", "bytes": 104_857_600, "seconds": 42.5}))]
pub struct NewReport {
    #[schema(value_type = String, format = "image-name")]
    image: ImageName,
    #[serde(default = "production")]
    #[schema(value_type = String, format = "channel-name", default = "production")]
    channel: ChannelName,
    /// The revision that the report is about. For `rolled_back`, the revision that the client has left.
    #[schema(minimum = 1)]
    revision: i64,
    status: ReportStatus,
    /// The number of bytes that the client fetched.
    #[serde(default)]
    #[schema(minimum = 0)]
    bytes: Option<i64>,
    /// The time that it took.
    #[serde(default)]
    #[schema(minimum = 0)]
    seconds: Option<f64>,
    /// The error of a failure. Control characters become spaces; what is beyond 1,000 characters is cut off.
    #[serde(default)]
    error: Option<String>,
}

fn production() -> ChannelName {
    ChannelName::production()
}

impl NewReport {
    fn report(self, client: ClientId, source: ReportSource) -> Result<Report, Error> {
        if self.bytes.is_some_and(|bytes| bytes < 0) {
            return Err(Error::invalid("bytes", "must be a number of bytes, from 0"));
        }
        let milliseconds = self.seconds.map(milliseconds).transpose()?;
        Ok(Report {
            client,
            image: self.image,
            channel: self.channel,
            revision: self.revision,
            status: self.status,
            bytes: self.bytes,
            milliseconds,
            error: self.error,
            source,
        })
    }
}

/// Converts seconds to whole milliseconds.
fn milliseconds(seconds: f64) -> Result<i64, Error> {
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|duration| i64::try_from(duration.as_millis()).ok())
        .ok_or_else(|| Error::invalid("seconds", "must be a number of seconds, from 0"))
}

/// Report
///
/// Records what a client did with a revision. The response is sent when the report is durable. For the halt of a rollout,
/// a client counts once, with its last report of an end, and only if the promotion offered it the revision; of one
/// client certificate, or else of one address, at most `fleet.reports_per_caller` clients count. A caller whose
/// certificate names a client may report for that client only.
#[utoipa::path(tag = "clients", operation_id = "report", request_body = NewReport,
    params(("client" = String, Path, description = "The client's id")),
    security((), ("basic" = []), ("bearer" = []), ("negotiate" = []), ("certificate" = [])),
    responses((status = 204, description = "The report is recorded"), ChangeRefusals)
)]
#[post("/clients/{client}/reports")]
pub async fn create(
    visitor: Visitor,
    depot: Data<Depot>,
    client: Path<ClientId>,
    new: JsonBody<NewReport>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let new = new.read()?;
    may_report(&visitor, &depot, &new)?;
    let source = source(&request, &depot, &client)?;
    depot.catalog.report(new.report(client.into_inner(), source)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Checks that the caller may report on the image. Without credentials, it may if the settings say so and everyone may
/// read the channel.
fn may_report(visitor: &Visitor, depot: &Depot, new: &NewReport) -> Result<(), Problem> {
    let snapshot = depot.catalog.snapshot();
    if visitor.is_known() {
        let covers = visitor.has_role_on(&new.image);
        return if covers { Ok(()) } else { Err(Error::ImageNotFound.into()) };
    }
    let is_open = snapshot
        .channel(&new.channel)
        .is_some_and(|offer| offer.channel.read_access == ReadAccess::Everyone);
    if is_open && depot.catalog.rules().fleet.reports == WhoReports::Everyone {
        Ok(())
    } else {
        Err(Denied::Anonymous.into())
    }
}

/// Returns the source of the report: the certificate, otherwise the address. A certificate whose common name is a
/// client's id speaks for that client only.
fn source(
    request: &HttpRequest,
    depot: &Depot,
    client: &ClientId,
) -> Result<ReportSource, Problem> {
    let Some(certificate) = client_certificate(request, depot)? else {
        return Ok(ReportSource::address(client_address::of(request)));
    };
    let own = certificate.common_name().and_then(|name| name.parse::<ClientId>().ok());
    match own {
        Some(own) if own.key() != client.key() => Err(Problem::new(
            Code::Forbidden,
            format!("the certificate is that of the client {own}, which reports for itself only"),
        )),
        _ => Ok(ReportSource::certificate(&certificate.fingerprint().to_string())),
    }
}
