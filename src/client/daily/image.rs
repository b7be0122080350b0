//! `imagedepot image`: the images and their settings.

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::absent;
use super::super::cell;
use super::super::connection::Connection;
use super::super::error::Failure;
use super::super::output::Output;
use super::super::table::{Column, record, table};
use super::assignment::COLUMNS as ASSIGNMENTS;
use super::call::CallArgs;
use super::change::Change;
use super::labels::{self, Label, LabelArgs};
use super::pages::{ListArgs, items};
use super::query::{if_set, with};

/// The arguments of `image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    call: CallArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List images
    List(FilterArgs),
    /// Show an image, and what its channels offer
    Show {
        /// Name of the image
        #[arg(value_name = "IMAGE")]
        name: String,
    },
    /// Create an image without revisions
    Create(CreateArgs),
    /// Change the settings of an image
    Set(SetArgs),
    /// Delete an image with all its revisions
    Delete {
        /// Name of the image
        #[arg(value_name = "IMAGE")]
        name: String,
        /// Only report if it could be deleted
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only images whose names match this pattern, with *
    #[arg(long, value_name = "PATTERN")]
    name: Option<String>,
    /// Only images of this kind
    #[arg(long, value_parser = KINDS)]
    kind: Option<String>,
    /// Only images with this label; if given several times, with all of them
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Only images that are promoted to this channel
    #[arg(long)]
    channel: Option<String>,
    #[command(flatten)]
    length: ListArgs,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Name of the new image
    #[arg(value_name = "IMAGE")]
    name: String,
    /// Kind of the image: a .ckm and its index, one file, or a set of files
    #[arg(long, value_parser = KINDS)]
    kind: String,
    /// Extension of the published file of kind `single` [default: img]
    #[arg(long)]
    extension: Option<String>,
    /// Description of the image
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Label of the image; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<Label>,
    /// Number of sealed revisions that retention keeps [default: all]
    #[arg(long, value_name = "NUMBER")]
    keep_revisions: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    name: String,
    /// Description of the image
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    labels: LabelArgs,
    /// Number of sealed revisions that retention keeps, or `all`
    #[arg(long, value_name = "NUMBER", value_parser = number_or_all)]
    keep_revisions: Option<Kept>,
    /// Compare the contents of files with the extension of the image
    #[arg(long, value_parser = ["on", "off"])]
    check: Option<String>,
}

const KINDS: [&str; 3] = ["medv", "single", "set"];

/// The number of revisions that retention keeps.
#[derive(Debug, Clone, Copy)]
enum Kept {
    All,
    Newest(u64),
}

impl From<Kept> for Value {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::All => Self::Null,
            Kept::Newest(number) => number.into(),
        }
    }
}

fn number_or_all(text: &str) -> Result<Kept, String> {
    if text == "all" {
        return Ok(Kept::All);
    }
    text.parse().map(Kept::Newest).map_err(|_| "expected a number or `all`".to_owned())
}

const COLUMNS: &[Column] = &[
    Column::text("IMAGE", |image| cell::text(&image["name"])),
    Column::text("KIND", |image| cell::text(&image["kind"])),
    Column::text("EXTENSION", |image| cell::text(&image["extension"])),
    Column::text("LABELS", |image| cell::text(&image["labels"])),
    Column::text("CHANGED", |image| cell::time(&image["updated_at"])),
    Column::text("DESCRIPTION", |image| cell::first_line(&image["description"])),
];

/// Runs the command and prints the result on standard output.
pub async fn run(args: Args) -> Result<(), Failure> {
    let output = args.call.output;
    let done = async {
        let connection = Connection::open(&args.call.server)?;
        act(&connection, args.action, output).await
    };
    output.unless_failed(done.await)
}

async fn act(connection: &Connection, action: Action, output: Output) -> Result<(), Failure> {
    match action {
        Action::List(filter) => list(connection, &filter, output).await,
        Action::Show { name } => match show(connection, &name, output).await {
            Err(failure) => Err(absent::named(connection, failure, &name, None).await),
            done => done,
        },
        Action::Create(args) => {
            let image: Value =
                connection.post_for(connection.api(&["images"])?, Some(&args.document())).await?;
            output.result(&format!("{} was created", args.name), &image)
        }
        Action::Set(args) => match args.change(connection).await {
            Err(failure) => Err(absent::named(connection, failure, &args.name, None).await),
            Ok(image) => output.result(&format!("{} was changed", args.name), &image),
        },
        Action::Delete { name, dry_run } => {
            let image = connection.api(&["images", &name])?;
            let gone = connection.delete(with(image, &[("dry_run", if_set(dry_run))])).await;
            if let Err(failure) = gone {
                return Err(absent::named(connection, failure, &name, None).await);
            }
            let done = if dry_run { "could be deleted" } else { "was deleted" };
            output.result(&format!("{name} {done}"), &json!({"name": name, "dry_run": dry_run}))
        }
    }
}

async fn list(connection: &Connection, filter: &FilterArgs, output: Output) -> Result<(), Failure> {
    let labels: Vec<_> = filter.labels.iter().map(Label::as_filter).collect();
    let mut parameters = vec![
        ("name", filter.name.as_deref()),
        ("kind", filter.kind.as_deref()),
        ("channel", filter.channel.as_deref()),
    ];
    parameters.extend(labels.iter().map(|label| ("label", Some(label.as_str()))));
    let list = with(connection.api(&["images"])?, &parameters);
    output.list(COLUMNS, &items(connection, list, filter.length).await?)
}

async fn show(connection: &Connection, name: &str, output: Output) -> Result<(), Failure> {
    let mut image: Value = connection.get(connection.api(&["images", name])?).await?;
    let channels = connection.api(&["images", name, "channels"])?;
    let channels = items(connection, channels, ListArgs::default()).await?;
    let mut text = record(&image, &["name", "kind", "extension", "description", "labels"], &[]);
    if !channels.is_empty() {
        text = format!("{text}\n\n{}", table(ASSIGNMENTS, &channels));
    }
    image["channels"] = channels.into();
    output.result(&text, &image)
}

impl CreateArgs {
    fn document(&self) -> Value {
        let labels = (!self.labels.is_empty()).then(|| labels::document(&self.labels));
        Change::default()
            .with("name", Some(self.name.as_str()))
            .with("kind", Some(self.kind.as_str()))
            .with("extension", self.extension.as_deref())
            .with("description", self.description.as_deref())
            .with("labels", labels)
            .with("keep_revisions", self.keep_revisions)
            .into_document()
    }
}

impl SetArgs {
    async fn change(&self, connection: &Connection) -> Result<Value, Failure> {
        Change::default()
            .with("description", self.description.as_deref())
            .with("keep_revisions", self.keep_revisions)
            .with("check", self.check.as_deref())
            .send_with_labels(connection, connection.api(&["images", &self.name])?, &self.labels)
            .await
    }
}
