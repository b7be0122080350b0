//! `imagedepot promote`, `rollback` and `withdraw`: the revision that an image offers in a channel. The speed at which
//! it reaches clients is changed by `rollout`.

use serde_json::Value;

use super::super::absent;
use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::Column;
use super::call::CallArgs;
use super::change::Change;
use super::moment::MomentOrNone;
use super::query::{if_set, with};
use super::reach;
use super::rollout_args::RolloutArgs;
use super::rollout_state::{told, words};

/// The arguments of `promote`.
#[derive(Debug, clap::Args)]
pub struct PromoteArgs {
    /// Name of the image
    image: String,
    /// Number of the revision
    revision: u64,
    /// Channel to assign it to
    channel: String,
    #[command(flatten)]
    rollout: RolloutArgs,
    #[command(flatten)]
    terms: TermsArgs,
    /// Make a new promotion even if the revision is assigned already and nothing differs
    #[arg(long)]
    again: bool,
    /// Only report what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    call: CallArgs,
}

/// The terms of a promotion, apart from its rollout.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TermsArgs {
    /// Clients may not postpone the update
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    mandatory: Option<bool>,
    /// Time at which the update becomes mandatory, a duration from now, or `none`
    #[arg(long, value_name = "TIME", value_parser = MomentOrNone::ahead)]
    deadline: Option<MomentOrNone>,
    /// Reason for the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// The arguments of `rollback`.
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// Name of the image
    image: String,
    /// Channel to roll back
    channel: String,
    /// Reissue the earlier bytes under the next revision number, for clients that never go back to a lower one
    #[arg(long)]
    as_new_revision: bool,
    /// Reason for the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    rollout: RolloutArgs,
    /// Only report what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    call: CallArgs,
}

/// The arguments of `withdraw`.
#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    /// Name of the image
    image: String,
    /// Channel to take it out of
    channel: String,
    /// Remove all of its files and their HTTP names at once, without grace
    #[arg(long)]
    now: bool,
    /// Only report what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    call: CallArgs,
}

/// The columns of a list of assignments.
pub const COLUMNS: &[Column] = &[
    Column::text("CHANNEL", |assignment| cell::text(&assignment["channel"])),
    Column::number("REVISION", |assignment| cell::text(&assignment["revision"])),
    Column::number("EPOCH", |assignment| cell::text(&assignment["epoch"])),
    Column::text("ROLLOUT", |assignment| words(&assignment["rollout"])),
    Column::text("TREE", |assignment| cell::text(&assignment["publication"])),
    Column::text("SINCE", |assignment| cell::time(&assignment["since"])),
    Column::text("BY", |assignment| cell::text(&assignment["by"])),
];

impl TermsArgs {
    /// Adds the terms that are given.
    pub fn added_to(&self, change: Change) -> Change {
        change
            .with("mandatory", self.mandatory)
            .with("deadline", self.deadline.as_ref())
            .with("note", self.note.as_deref())
    }
}

/// Runs `promote`.
pub async fn promote(args: PromoteArgs) -> Result<(), Failure> {
    let done = async {
        let PromoteArgs { image, revision, channel, .. } = &args;
        let new = Change::default()
            .with("revision", Some(*revision))
            .with("rollout", args.rollout.document()?);
        let new = args.terms.added_to(new).into_document();
        let connection = Connection::open(&args.call.server)?;
        let address = with(
            connection.api(&["images", image, "channels", channel])?,
            &[("again", if_set(args.again)), ("dry_run", if_set(args.dry_run))],
        );
        let promoted: Result<Value, _> = connection.put_once(address, &new).await;
        let answer = named(&connection, promoted, image, channel).await?;
        assigned(&answer, image, channel, args.dry_run, args.call.output)
    };
    args.call.output.unless_failed(done.await)
}

/// Runs `rollback`.
pub async fn roll_back(args: RollbackArgs) -> Result<(), Failure> {
    let done = async {
        let RollbackArgs { image, channel, .. } = &args;
        let new = Change::default()
            .with("as_new_revision", args.as_new_revision.then_some(true))
            .with("note", args.note.as_deref())
            .with("rollout", args.rollout.document()?)
            .into_document();
        let connection = Connection::open(&args.call.server)?;
        let address = with(
            connection.api(&["images", image, "channels", channel, "rollback"])?,
            &[("dry_run", if_set(args.dry_run))],
        );
        let rolled = connection.post_for(address, Some(&new)).await;
        let answer = named(&connection, rolled, image, channel).await?;
        assigned(&answer, image, channel, args.dry_run, args.call.output)
    };
    args.call.output.unless_failed(done.await)
}

/// Runs `withdraw`.
pub async fn withdraw(args: WithdrawArgs) -> Result<(), Failure> {
    let done = async {
        let WithdrawArgs { image, channel, now, dry_run, call } = &args;
        let connection = Connection::open(&call.server)?;
        let address = with(
            connection.api(&["images", image, "channels", channel])?,
            &[("now", if_set(*now)), ("dry_run", if_set(*dry_run))],
        );
        let withdrawn = connection.delete(address).await;
        let answer = named(&connection, withdrawn, image, channel).await?.unwrap_or_default();
        let done = if *dry_run { "would be withdrawn" } else { "is withdrawn" };
        let epoch = cell::text(&answer["epoch"]);
        let sentence = format!("{image} {done} from {channel} (epoch {epoch})");
        call.output.result(&format!("{sentence}{}", reach::of(&answer)), &answer)
    };
    args.call.output.unless_failed(done.await)
}

/// Rewords the failure if the image or the channel does not exist.
pub async fn named<T>(
    connection: &Connection,
    done: Result<T, Failure>,
    image: &str,
    channel: &str,
) -> Result<T, Failure> {
    match done {
        Err(failure) => Err(absent::named(connection, failure, image, Some(channel)).await),
        done => done,
    }
}

/// Tells the assignment that a promotion, an approval or a rollback made.
pub fn assigned(
    answer: &Value,
    image: &str,
    channel: &str,
    dry_run: bool,
    output: Output,
) -> Result<(), Failure> {
    let done = if dry_run { "would be assigned" } else { "is assigned" };
    let sentence = match answer["revision"].as_u64() {
        Some(revision) => format!(
            "{image} revision {revision} {done} to {channel} ({}, epoch {}){}",
            words(&answer["rollout"]),
            cell::text(&answer["epoch"]),
            reach::of(answer),
        ),
        None => format!("{channel} offers the same of {image} as before"),
    };
    output.result(&told(&sentence, answer), answer)
}
