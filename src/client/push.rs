//! `imagedepot push`: from files on this disk to a revision that clients are offered.
//!
//! The steps are those of an image's life: the image is made if it is not there yet (`image`), a
//! draft is opened (`draft`), its files are sent side by side (`send`, over the sessions of
//! `session`), the digests are compared, the draft is sealed and, with `--channel`, promoted. Which file
//! fills which role is decided in `files`; `source` is such a file while it is read.
//!
//! Until the draft is sealed, `resume_state` keeps on this disk what the same command needs to go on;
//! `previous_push` takes that up. A draft is taken away only when going on is impossible: not for a
//! server that is away, not for Ctrl-C.

mod draft;
mod files;
mod image;
mod outcome;
mod previous_push;
mod resume_state;
mod send;
mod session;
mod source;

use std::path::{Path, PathBuf};
use std::time::Instant;

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use self::draft::Draft;
use self::files::Kind;
use self::outcome::Ready;
use self::previous_push::{IfUnfinished, PreviousPush};
use self::resume_state::Memory;
use self::send::Sent;
use self::source::Source;
use super::connection::Connection;
use super::credentials::ServerArgs;
use super::error::Failure;
use super::exit_code::{EXIT_CODES, Exit};
use super::interrupt::Interrupt;
use super::output::Output;
use super::progress::Progress;

const LONG_ABOUT: &str = "\
Upload files as a new revision of an image, seal it, and promote it where asked to

A push that ends early (a broken line, Ctrl-C, a restart of this computer) is gone on with by the \
same command, as long as the files are unchanged. Until the revision is sealed, a small file under \
~/.local/state/imagedepot/push says how; there are no secrets in it. XDG_STATE_HOME moves it as it \
does everywhere, IMAGEDEPOT_STATE_DIR names another folder instead of ~/.local/state/imagedepot.";

const GOES_ON: &str = "the same command goes on where this one stopped";

/// Upload files as a new revision of an image, seal it, and promote it where asked to
#[derive(Debug, Clone, clap::Args)]
#[command(long_about = LONG_ABOUT, after_help = EXIT_CODES)]
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

    /// Begin anew instead of going on with what an earlier push of the same files left unfinished;
    /// that is taken away from the server
    #[arg(long)]
    pub restart: bool,

    /// Sentences for people or JSON for scripts
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub server: ServerArgs,
}

impl Args {
    fn if_unfinished(&self) -> IfUnfinished {
        if self.restart { IfUnfinished::BeginAnew } else { IfUnfinished::GoOn }
    }
}

/// Does it and says what came of it on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.output;
    output.unless_failed(push(args).await)
}

async fn push(args: Args) -> Result<(), Failure> {
    let connection = Connection::open(&args.server)?;
    let started = Instant::now();
    let progress = Progress::for_output(args.output);
    let state = resume_state::folder(&|name| std::env::var_os(name));
    let mut interrupt = Interrupt::listen()?;
    let uploading = upload(&connection, &args, state.as_deref(), &progress);
    let ready = interrupt.unless(GOES_ON, uploading).await?;
    let epoch = match &args.channel {
        Some(channel) => {
            let meaning = format!("{ready} is ready; if it is promoted to {channel} is not known");
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

/// Everything up to the sealing.
async fn upload(
    connection: &Connection,
    args: &Args,
    state: Option<&Path>,
    progress: &Progress,
) -> Result<Ready, Failure> {
    files::must_be_readable(&args.files)?;
    if let Some(channel) = &args.channel {
        // A slip in its name would be told after gigabytes, with a sealed revision to show for it.
        connection.get::<IgnoredAny>(connection.api(&["channels", channel])?).await?;
    }
    let image = image::find_or_make(connection, args).await?;
    let files = files::in_roles(image.kind, &args.files)?;
    image.warn_of_another_extension(&files, progress);
    let sources = files.into_iter().map(Source::open).collect::<Result<Vec<_>, _>>()?;

    // From here on there is work to lose.
    let connection = &connection.patient();
    let server = connection.server();
    let memory = Memory::open(state, server, &image, &sources, progress)?;
    let image_name = image.name.as_str();
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
            Ok(Ready { image: image.name.clone(), revision: draft.number(), files })
        }
        Err(failure) => Err(keep_or_take_away(connection, &draft, &memory, failure).await),
    }
}

async fn fill_and_seal(
    draft: &Draft<'_>,
    memory: &Memory,
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

/// What is kept can be gone on with by the same command; what is of no use to it goes.
async fn keep_or_take_away(
    connection: &Connection,
    draft: &Draft<'_>,
    memory: &Memory,
    failure: Failure,
) -> Failure {
    let may_pass = match failure.exit() {
        Exit::Unreachable | Exit::Interrupted => true,
        // Other credentials, more room or a mended server: worth it once something was sent.
        Exit::Refused | Exit::Storage | Exit::Other => memory.has_sessions(),
        Exit::Usage | Exit::NotFound | Exit::Conflict | Exit::Verification => false,
    };
    if may_pass && memory.is_durable() {
        return failure.with_hint(GOES_ON);
    }
    match previous_push::clear_away(connection, draft, memory).await {
        Ok(()) => failure,
        Err(_) => failure.with_hint(&format!(
            "draft {} of {} is left on the server, which removes it in time",
            draft.number(),
            draft.image()
        )),
    }
}

/// What this side reads of an assignment.
#[derive(Debug, Deserialize)]
struct Assignment {
    epoch: u64,
}

/// Answers the epoch of the assignment.
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
