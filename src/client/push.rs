//! `imagedepot push`: turns local files into a revision that clients are offered.
//!
//! The steps are those of an image's life: the image is created if it does not exist yet (`image`), a draft is opened
//! (`draft`), its files are sent in parallel (`send`, using the sessions of `session`), the digests are compared, the
//! draft is sealed and, with `--channel`, promoted. `files` decides which file fills which role; `source` is such a
//! file while it is read. Files that the server has already (`already_there`) are not sent again.
//!
//! Until the draft is sealed, `resume_state` keeps on this disk what the same command needs to continue, and
//! `previous_push` takes that up. A draft is deleted only if continuing is impossible: not because the server is
//! unreachable, and not because of Ctrl-C.

mod already_there;
mod args;
mod draft;
mod files;
mod image;
mod outcome;
mod previous_push;
mod resume_state;
mod send;
mod sent;
mod session;
mod source;

use std::path::Path;
use std::time::Instant;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use self::already_there::Found;
pub use self::args::Args;
use self::draft::Draft;
use self::outcome::Ready;
use self::previous_push::{IfUnfinished, PreviousPush};
use self::resume_state::PushRecord;
use self::sent::Sent;
use self::source::Source;
use super::absent;
use super::connection::Connection;
use super::error::Failure;
use super::exit_code::Exit;
use super::interrupt::Interrupt;
use super::progress::Progress;
use super::state_file;

const GOES_ON: &str = "the same command continues where this one stopped";

impl Args {
    fn if_unfinished(&self) -> IfUnfinished {
        if self.restart { IfUnfinished::BeginAnew } else { IfUnfinished::GoOn }
    }
}

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.output;
    output.unless_failed(push(args).await)
}

async fn push(args: Args) -> Result<(), Failure> {
    let connection = Connection::open(&args.server)?;
    let started = Instant::now();
    let progress = Progress::for_output(args.output);
    let state = state_file::folder(&|name| std::env::var_os(name));
    let mut interrupt = Interrupt::listen()?;
    let uploading = upload(&connection, &args, state.as_deref(), &progress);
    let ready = interrupt.unless(GOES_ON, uploading).await?;
    let epoch = match &args.channel {
        Some(channel) => {
            let meaning =
                format!("{ready} is ready; it is unknown if it was promoted to {channel}");
            Some(interrupt.unless(&meaning, promote(&connection, &ready, channel)).await?)
        }
        None => None,
    };
    let seconds = started.elapsed().as_secs_f64();
    args.output.result(
        &ready.sentence(args.channel.as_deref(), seconds),
        &ready.document(args.channel.as_deref(), epoch, seconds),
    )
}

/// Does everything up to the sealing.
async fn upload(
    connection: &Connection,
    args: &Args,
    state: Option<&Path>,
    progress: &Progress,
) -> Result<Ready, Failure> {
    files::must_be_readable(&args.files)?;
    if let Some(channel) = &args.channel {
        // Otherwise a typing error in its name would be reported only after gigabytes, and leave a sealed revision
        // behind.
        let there = connection.get::<IgnoredAny>(connection.api(&["channels", channel])?).await;
        if let Err(failure) = there {
            return Err(absent::named(connection, failure, &args.image, Some(channel)).await);
        }
    }
    let image = image::find_or_make(connection, args).await?;
    let files = files::in_roles(image.kind, &args.files)?;
    image.warn_of_another_extension(&files, progress);
    let sources = files.into_iter().map(Source::open).collect::<Result<Vec<_>, _>>()?;

    // From here on there is work to lose.
    let connection = &connection.patient();
    let server = connection.server();
    let memory = PushRecord::open(state, server, &image, &sources, progress)?;
    let image_name = image.name.as_str();
    if !args.always && !image.is_new {
        let found = already_there::find(connection, image_name, &sources, progress).await?;
        if let Some(Found { revision, files }) = found {
            forget_unfinished(connection, image_name, revision, &memory).await;
            return Ok(Ready { image: image.name.clone(), revision, files, was_there: true });
        }
    }
    let earlier = PreviousPush { connection, image: image_name, memory: &memory, progress };
    let draft = if let Some(draft) = earlier.take_up(&sources, args.if_unfinished()).await? {
        draft
    } else {
        let draft = Draft::open(connection, &image.name).await?;
        memory.begin(server, &image.name, draft.number(), &sources);
        draft
    };
    match fill_and_seal(&draft, &memory, &sources, args.notes.as_deref(), progress).await {
        Ok(files) => {
            memory.forget();
            let (image, revision) = (image.name.clone(), draft.number());
            Ok(Ready { image, revision, files, was_there: false })
        }
        Err(failure) => Err(keep_or_delete_draft(connection, &draft, &memory, failure).await),
    }
}

/// Cleans up after an interrupted push of the same files: it has nothing left to do.
async fn forget_unfinished(connection: &Connection, image: &str, found: u64, memory: &PushRecord) {
    let Some(record) = memory.record() else { return };
    let draft = Draft::numbered(connection, image, record.revision);
    if record.revision == found {
        memory.forget();
    } else {
        // If this fails, the server removes the draft in time.
        let _ = previous_push::clear_away(connection, &draft, memory).await;
    }
}

async fn fill_and_seal(
    draft: &Draft<'_>,
    memory: &PushRecord,
    sources: &[Source],
    notes: Option<&str>,
    progress: &Progress,
) -> Result<Vec<Sent>, Failure> {
    if let Some(notes) = notes {
        draft.note(notes).await?;
    }
    let files = sources.iter().map(|source| send::send(draft, memory, source, progress));
    // The first that fails for good stops the others.
    let sent = try_join_all(files).await?;
    let stored = draft.look().await?;
    stored.must_hold(&sent)?;
    // An earlier push may have got just as far.
    if !stored.is_sealed() {
        draft.seal().await?;
    }
    Ok(sent)
}

/// Keeps the draft if the same command can continue with it, and deletes it otherwise.
async fn keep_or_delete_draft(
    connection: &Connection,
    draft: &Draft<'_>,
    memory: &PushRecord,
    failure: Failure,
) -> Failure {
    let may_pass = match failure.exit() {
        Exit::Unreachable | Exit::Interrupted => true,
        // Other credentials, more disk space or a repaired server may help. That is worth keeping once something was
        // sent.
        Exit::Refused | Exit::Storage | Exit::Other => memory.has_sessions(),
        Exit::Usage | Exit::NotFound | Exit::Conflict | Exit::Verification => false,
    };
    if may_pass && memory.is_durable() {
        return failure.with_hint(GOES_ON);
    }
    match previous_push::clear_away(connection, draft, memory).await {
        Ok(()) => failure,
        Err(_) => failure.with_hint(&format!(
            "draft {} of {} remains on the server until it expires",
            draft.number(),
            draft.image()
        )),
    }
}

/// The fields of an assignment that the client reads.
#[derive(Debug, Deserialize)]
struct Assignment {
    epoch: u64,
}

/// Promotes the revision. Returns the epoch of the assignment.
async fn promote(connection: &Connection, ready: &Ready, channel: &str) -> Result<u64, Failure> {
    let address = connection.api(&["images", &ready.image, "channels", channel])?;
    let assignment: Assignment = connection
        .put_once(address, &json!({ "revision": ready.revision }))
        .await
        .map_err(|failure| {
            failure.while_doing(&format!("{ready} is ready, but not promoted to {channel}"))
        })?;
    Ok(assignment.epoch)
}

#[cfg(test)]
mod tests;
