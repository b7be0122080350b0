//! `imagedepot audit` over HTTP: lists, exports and verifies the record of changes. On the catalog itself the commands
//! of `command_line` do the same, and prune.

mod export;
mod row;
mod verify;

use clap::Subcommand;

use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::exit_code::Exit;
use super::super::output::Output;
use super::super::table::Column;
use super::call::CallArgs;
use super::moment::Moment;
use super::pages::{ListArgs, items};
use super::query::with;
pub use verify::Verdict;

/// The arguments of `audit` in the client's build.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List changes, the newest first
    List(FilterArgs),
    /// Find rows that were altered, removed or moved; the exit code is 1 if there are any
    Verify {
        /// Row of an earlier verify or export that must still be in the record; keep it where the catalog's owner
        /// cannot write
        #[arg(long, value_name = "SEQUENCE:HASH")]
        known: Option<String>,
    },
    /// Write all rows to standard output as JSON lines, the oldest first
    Export {
        /// Write only the rows after this one
        #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
        after: i64,
    },
}

/// The changes to list.
#[derive(Debug, clap::Args)]
pub struct FilterArgs {
    /// Only changes by this caller
    #[arg(long, value_name = "NAME")]
    pub caller: Option<String>,
    /// Only changes of this resource and of what lies below it, such as images/win7-office
    #[arg(long, value_name = "PATH")]
    pub subject: Option<String>,
    /// Only changes of this kind, such as channel.promote, with * for any characters
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only changes at or after this time, or in this last duration
    #[arg(long, value_name = "TIME", value_parser = Moment::ago)]
    pub since: Option<Moment>,
    /// Only changes before this time, or before this last duration
    #[arg(long, value_name = "TIME", value_parser = Moment::ago)]
    pub until: Option<Moment>,
    #[command(flatten)]
    pub length: ListArgs,
}

pub const COLUMNS: &[Column] = &[
    Column::number("SEQUENCE", |row| cell::text(&row["sequence"])),
    Column::text("AT", |row| cell::time(&row["at"])),
    Column::text("CALLER", |row| cell::text(&row["caller"])),
    Column::text("ADDRESS", |row| cell::text(&row["client_address"])),
    Column::text("ACTION", |row| cell::text(&row["action"])),
    Column::text("SUBJECT", |row| cell::text(&row["subject"])),
];

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        act(&connection, args.action, output).await
    };
    match done.await {
        Ok(Verdict::Sound) => Ok(()),
        Ok(Verdict::NotSound) => {
            Err(Failure::new(Exit::Other, "the record of changes is not intact"))
        }
        Err(failure) => output.unless_failed(Err(failure)),
    }
}

/// Carries out the command on a server.
pub async fn act(
    connection: &Connection,
    action: Action,
    output: Output,
) -> Result<Verdict, Failure> {
    let audit = connection.api(&["audit"])?;
    match action {
        Action::List(filter) => {
            let list = with(
                audit,
                &[
                    ("caller", filter.caller.as_deref()),
                    ("subject", filter.subject.as_deref()),
                    ("action", filter.action.as_deref()),
                    ("since", filter.since.as_ref().map(Moment::as_str)),
                    ("until", filter.until.as_ref().map(Moment::as_str)),
                ],
            );
            output.list(COLUMNS, &items(connection, list, filter.length).await?)?;
            Ok(Verdict::Sound)
        }
        Action::Verify { known } => verify::run(connection, audit, known.as_deref(), output).await,
        Action::Export { after } => {
            export::run(connection, audit, after).await.map(|()| Verdict::Sound)
        }
    }
}
