//! `imagedepot scrub`: reads stored bytes again and reports damage, also while servers run.

use std::path::Path;
use std::process::ExitCode;

use bytesize::ByteSize;
use clap::Args;

use super::absent;
use super::backup::open_written_backup_store;
use super::data::{DataArgs, must_belong_to_current_user};
use crate::api::scrub::ScrubBody;
use crate::catalog::Actor;
use crate::client::progress::Progress;
use crate::model::ImageName;
use crate::storage::backup_store::Place;
use crate::upkeep::scrub::{Bandwidth, ScrubStatus};

/// The arguments of `scrub`.
#[derive(Debug, Args)]
pub struct ScrubArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Read only this image's files
    #[arg(long, value_name = "NAME")]
    image: Option<ImageName>,
    /// Read only the files of this revision of the image
    #[arg(long, value_name = "NUMBER", requires = "image")]
    revision: Option<i64>,
    /// Repair damaged files from a place of backups, then read
    #[arg(long, value_name = "PLACE", conflicts_with = "status")]
    heal_from: Option<Place>,
    /// Most bytes to read per second, such as 50MB [default: no limit]
    #[arg(long, value_name = "SIZE", conflicts_with = "status")]
    bandwidth: Option<ByteSize>,
    /// Read nothing; report the state of the stored bytes
    #[arg(long)]
    status: bool,
}

/// Runs the command; the exit code is 1 if something is damaged.
pub async fn run(args: ScrubArgs, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let backup_store = match &args.heal_from {
        Some(place) => {
            let config = args.data.config(file)?;
            must_belong_to_current_user(&config, &args.data.data)?;
            Some(open_written_backup_store(place, &config)?)
        }
        None => None,
    };
    let catalog = args.data.open_catalog(file).await?;
    let done = async {
        if !args.status {
            let actor = Actor::system("command-line");
            if let Some(backup_store) = &backup_store {
                catalog.heal_from_backup(&actor, backup_store).await?;
            }
            let wanted = catalog.request_scrub(&actor, args.image.as_ref(), args.revision).await;
            let wanted = match (wanted, &args.image) {
                (Err(error), Some(image)) => {
                    return Err(absent::named(&catalog, error, image).await);
                }
                (wanted, _) => wanted?,
            };
            let bar = Progress::for_output(args.data.output).count("blobs", wanted);
            let bandwidth = args
                .bandwidth
                .map_or(Bandwidth::All, |rate| Bandwidth::AtMost(rate.as_u64().max(1)));
            catalog.scrub_now(bandwidth, &|_| bar.inc(1)).await?;
            bar.finish_and_clear();
        }
        Ok(catalog.scrub_status().await?)
    };
    let status = done.await;
    let within = catalog.rules().scrub.within;
    catalog.close().await;
    let status = status?;
    let (sentence, is_sound) = (sentence(&status), status.damaged.is_empty());
    args.data.output.result(&sentence, &serde_json::to_value(ScrubBody::new(status, within))?)?;
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sentence(status: &ScrubStatus) -> String {
    let damaged = status.damaged.iter().map(|file| {
        let (image, revision, role) = (&file.image, file.revision, file.role);
        format!(
            "{image} revision {revision}, {role}: {}; upload the bytes of {} to heal it",
            file.what, file.digest
        )
    });
    let coverage = &status.coverage;
    let size = ByteSize::b(coverage.bytes.unsigned_abs());
    let since = coverage.oldest_verified_at.map(|at| format!(", all read since {at}"));
    let count = status.damaged.len();
    let all = format!(
        "{} blobs, {size}{}; {count} damaged files",
        coverage.blobs,
        since.unwrap_or_default()
    );
    damaged.chain([all]).collect::<Vec<_>>().join("\n")
}
