//! `imagedepot push`: from files on this disk to a revision that clients are offered.
//!
//! The steps are those of an image's life: the image is made if it is not there yet, a draft is
//! opened, each file is sent (`upload`), the digests are compared, the draft is sealed and, with
//! `--channel`, promoted. Which file fills which role is decided in `files`.
//!
//! A push that fails before sealing takes its draft away again, as far as it can. Continuing a broken
//! upload where it stopped is left to resumable uploads; here a file is sent again as a whole.

mod files;
mod upload;

use std::path::PathBuf;
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use self::files::{Kind, LocalFile};
use self::upload::Sent;
use super::connection::Connection;
use super::credentials::ServerArgs;
use super::exit_code::{EXIT_CODES, Exit};
use super::failure::Failure;
use super::output::Output;
use super::progress::Progress;

/// Upload files as a new revision of an image, seal it, and promote it where asked to
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct Args {
    /// Name of the image; made if there is none yet
    #[arg(value_name = "NAME")]
    pub image: String,

    /// The image's file; or both files of a MED-V image: .ckm and .ckm.index (or .index)
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// Kind of a new image; guessed from the files' names when not given
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,

    /// Promote the new revision to this channel
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,

    /// What is new in this revision
    #[arg(long, value_name = "TEXT")]
    pub notes: Option<String>,

    /// Sentences for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub server: ServerArgs,
}

/// Does it and says what came of it on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let connection = Connection::open(&args.server)?;
    let started = Instant::now();
    let pushed = push(&connection, &args, Progress::for_output(args.output)).await?;
    let document = json!({
        "image": pushed.image,
        "revision": pushed.revision,
        "state": "ready",
        "files": pushed.files.iter().map(|file| json!({
            "role": file.role, "size": file.size, "digest": file.digest.to_string(),
        })).collect::<Vec<_>>(),
        "channel": args.channel,
        "epoch": pushed.epoch,
        "bytes_total": pushed.files.iter().map(|file| file.size).sum::<u64>(),
        "seconds": started.elapsed().as_secs_f64(),
    });
    let promoted =
        args.channel.map(|channel| format!(", promoted to {channel}")).unwrap_or_default();
    let sentence = format!(
        "{} revision {} is ready{promoted} ({}, {:.1} s)",
        pushed.image,
        pushed.revision,
        indicatif::BinaryBytes(pushed.files.iter().map(|file| file.size).sum()),
        started.elapsed().as_secs_f64(),
    );
    args.output.result(&sentence, &document)
}

#[derive(Debug)]
struct Pushed {
    image: String,
    revision: u64,
    files: Vec<Sent>,
    /// Of the assignment, when it was promoted.
    epoch: Option<u64>,
}

/// What this side reads of an image.
#[derive(Debug, Deserialize)]
struct Image {
    name: String,
    kind: Kind,
    extension: Option<String>,
}

async fn push(connection: &Connection, args: &Args, progress: Progress) -> Result<Pushed, Failure> {
    files::must_be_readable(&args.files)?;
    let image = image(connection, args).await?;
    let files = files::in_roles(image.kind, &args.files)?;
    warn_of_another_extension(&image, &files, progress);

    let revision = open_draft(connection, &image.name).await?;
    let number = revision.to_string();
    let draft = Draft { connection, image: &image.name, number: &number };
    let sent = match draft.fill(&files, args.notes.as_deref(), progress).await {
        Ok(sent) => sent,
        Err(failure) => return Err(draft.take_away(failure).await),
    };
    draft.seal().await?;

    let epoch = match &args.channel {
        Some(channel) => Some(promote(connection, &image.name, revision, channel).await?),
        None => None,
    };
    Ok(Pushed { image: image.name, revision, files: sent, epoch })
}

/// The image of this name, made if absent.
async fn image(connection: &Connection, args: &Args) -> Result<Image, Failure> {
    let address = connection.api(&["images", &args.image])?;
    let image: Image = match connection.get(address.clone()).await {
        Ok(image) => image,
        Err(absent) if absent.exit() == Exit::NotFound => {
            let kind = match args.kind {
                Some(kind) => kind,
                None => files::guess_kind(&args.files)?,
            };
            let mut wanted = json!({ "name": args.image, "kind": kind });
            if let Some(extension) = files::extension(kind, &args.files)? {
                wanted["extension"] = extension.into();
            }
            match connection.post(connection.api(&["images"])?, Some(&wanted)).await {
                Ok(_) => {}
                // Somebody else made it in this moment; or the name is refused, then it is still
                // absent and that is what to tell.
                Err(taken) if taken.exit() == Exit::Conflict => {
                    return connection.get(address).await.map_err(|_| taken);
                }
                Err(refused) => return Err(refused),
            }
            connection.get(address).await?
        }
        Err(failure) => return Err(failure),
    };
    match args.kind {
        Some(kind) if kind != image.kind => Err(Failure::new(
            Exit::Conflict,
            format!("{} is of kind {}, not {kind}", image.name, image.kind),
        )),
        _ => Ok(image),
    }
}

/// Not refused: the bytes are opaque, and many a disk image has no extension or another one.
fn warn_of_another_extension(image: &Image, files: &[LocalFile], progress: Progress) {
    if let (Some(expected), [LocalFile { path, .. }]) = (&image.extension, files)
        && path.extension().is_some_and(|actual| !actual.eq_ignore_ascii_case(expected))
    {
        progress.warn(&format!(
            "{} will be published with the image's extension, .{expected}",
            path.display()
        ));
    }
}

/// A new draft's number. The contract promises it in `Location`; of an address there only the last
/// segment counts, as a proxy may have given it another host.
async fn open_draft(connection: &Connection, image: &str) -> Result<u64, Failure> {
    let response = connection.post(connection.api(&["images", image, "revisions"])?, None).await?;
    response
        .headers()
        .get(reqwest::header::LOCATION)
        .and_then(|location| location.to_str().ok()?.trim_end_matches('/').rsplit('/').next())
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Failure::unreadable("answer", "it does not say where the new draft is"))
}

/// A revision while it is still ours to fill.
struct Draft<'a> {
    connection: &'a Connection,
    image: &'a str,
    number: &'a str,
}

/// What this side reads of a revision.
#[derive(Debug, Deserialize)]
struct Revision {
    files: Vec<StoredFile>,
}

#[derive(Debug, Deserialize)]
struct StoredFile {
    role: String,
    size: u64,
    digest: String,
}

impl Draft<'_> {
    fn address(&self, more: &[&str]) -> Result<url::Url, Failure> {
        let segments = [&["images", self.image, "revisions", self.number], more].concat();
        self.connection.api(&segments)
    }

    async fn fill(
        &self,
        files: &[LocalFile],
        notes: Option<&str>,
        progress: Progress,
    ) -> Result<Vec<Sent>, Failure> {
        if let Some(notes) = notes {
            self.connection.patch(self.address(&[])?, &json!({ "notes": notes })).await?;
        }
        let mut sent = Vec::new();
        for file in files {
            let address = self.address(&["files", file.role])?;
            sent.push(upload::send(self.connection, address, file, progress).await?);
        }
        let stored: Revision = self.connection.get(self.address(&[])?).await?;
        compare(&sent, &stored)?;
        Ok(sent)
    }

    async fn seal(&self) -> Result<(), Failure> {
        self.connection.post(self.address(&["seal"])?, None).await?;
        Ok(())
    }

    /// Leaves nothing half-made behind, or says what is left. Only before sealing: afterwards
    /// a lost answer could mean that the revision is complete.
    async fn take_away(&self, failure: Failure) -> Failure {
        let deleted = match self.address(&[]) {
            Ok(address) => self.connection.delete_once(address).await,
            Err(error) => Err(error),
        };
        match deleted {
            Ok(()) => failure,
            Err(_) => failure.with_hint(&format!(
                "draft {} of {} is left on the server, which removes it in time",
                self.number, self.image
            )),
        }
    }
}

/// End to end: what the server stored is what was read here, before anything is sealed.
fn compare(sent: &[Sent], stored: &Revision) -> Result<(), Failure> {
    for file in sent {
        let arrived = stored.files.iter().find(|arrived| arrived.role == file.role);
        if !arrived.is_some_and(|arrived| {
            arrived.size == file.size && arrived.digest == file.digest.to_string()
        }) {
            let got = arrived.map_or("nothing", |arrived| &arrived.digest);
            return Err(Failure::new(
                Exit::Verification,
                format!("the {} arrived changed: sent {}, got {got}", file.role, file.digest),
            ));
        }
    }
    Ok(())
}

/// What this side reads of an assignment.
#[derive(Debug, Deserialize)]
struct Assignment {
    epoch: u64,
}

async fn promote(
    connection: &Connection,
    image: &str,
    revision: u64,
    channel: &str,
) -> Result<u64, Failure> {
    let address = connection.api(&["images", image, "channels", channel])?;
    let assignment: Assignment = connection
        .put_once(address, &json!({ "revision": revision }))
        .await
        .map_err(|failure| {
            let done =
                format!("{image} revision {revision} is ready, but not promoted to {channel}");
            failure.while_doing(&done)
        })?;
    Ok(assignment.epoch)
}

#[cfg(test)]
mod tests;
