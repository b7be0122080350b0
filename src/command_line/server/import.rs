//! `imagedepot import`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::backup::open_written_backup_store;
use super::data::DataArgs;
use crate::catalog::promotion::PromotionOrder;
use crate::catalog::{Actor, Catalog, ChangeContext};
use crate::client::output::Output;
use crate::model::{ChannelName, ImageName, NamePattern};
use crate::storage::backup_store::BackupStore;
use crate::upkeep::export::{exports, read_export};
use crate::upkeep::take_over::{TakeOver, sort};
use crate::upkeep::transfer::{Numbering, Taken};

/// What is to be taken in.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["from", "tree"])))]
pub struct ImportArgs {
    #[command(flatten)]
    data: DataArgs,
    /// A place that `export` wrote to
    #[arg(long, value_name = "PLACE")]
    from: Option<String>,
    /// The export's name [default: the newest]
    #[arg(long, value_name = "NAME", requires = "from")]
    at: Option<String>,
    /// A folder of images that somebody else kept, such as `MEDVImages`
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// How names of files tell the image and the number: a regular expression with the groups image and revision
    #[arg(long, value_name = "REGEX", requires = "tree", default_value = NamePattern::WITH_REVISION)]
    pattern: NamePattern,
    /// An extension of images of one file, beside MED-V's pairs; may be given several times
    #[arg(long = "extension", value_name = "EXT", requires = "tree")]
    extensions: Vec<String>,
    /// Give the files another name instead of copying them, where they lie on the store's disk
    #[arg(long, requires = "tree")]
    link: bool,
    /// Give every revision the next number instead of its own
    #[arg(long)]
    renumber: bool,
    /// Promote what was taken in to this channel, the highest revision of each image last
    #[arg(long, value_name = "CHANNEL")]
    promote_to: Option<ChannelName>,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl ImportArgs {
    fn numbering(&self) -> Numbering {
        if self.renumber { Numbering::Next } else { Numbering::Own }
    }
}

/// What became of what came.
#[derive(Default)]
struct Done {
    taken: Vec<(ImageName, i64)>,
    there: Vec<(ImageName, i64)>,
    /// What is no revision, and what could not be taken in.
    left: Vec<String>,
    /// How many revisions could not be.
    refused: usize,
    /// Images of which one could not be read: a later one would take its number away.
    stuck: Vec<ImageName>,
}

const BEHIND: &str = "waits for the one before it, whose number could not be given out afterwards";

pub async fn run(args: ImportArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    let backup_store =
        args.from.as_deref().map(|place| open_written_backup_store(place, &config)).transpose()?;
    let catalog = args.data.open_catalog(file).await?;
    let done = Box::pin(take_all(&catalog, &args, backup_store.as_ref())).await;
    catalog.close().await;
    say(&done?, args.output)
}

async fn take_all(
    catalog: &Catalog,
    args: &ImportArgs,
    backup_store: Option<&BackupStore>,
) -> anyhow::Result<Done> {
    let mut done = Done::default();
    match (backup_store, &args.tree) {
        (Some(backup_store), _) => import_export(catalog, args, backup_store, &mut done).await?,
        (None, Some(folder)) => take_over(catalog, args, folder, &mut done).await?,
        (None, None) => bail!("--from or --tree says what is to be taken in"),
    }
    if let Some(channel) = &args.promote_to {
        // One after the other: the tree keeps those before the last, and a rollback finds them.
        let mut taken: Vec<_> = done.taken.iter().chain(&done.there).cloned().collect();
        taken.sort_by_key(|(image, number)| (image.key(), *number));
        for (image, revision) in taken {
            // By a run that came to no end, or by somebody since.
            if catalog.was_promoted(&image, revision, channel).await? {
                continue;
            }
            let order = PromotionOrder { revision, ..PromotionOrder::default() };
            let actor = Actor::system("import");
            let context = ChangeContext::unconditional(&actor);
            catalog.promote(context, &image, channel, order).await?;
        }
    }
    Ok(done)
}

async fn import_export(
    catalog: &Catalog,
    args: &ImportArgs,
    backup_store: &BackupStore,
    done: &mut Done,
) -> anyhow::Result<()> {
    let names = exports(backup_store).await?;
    let name = args.at.as_ref().or(names.last()).context("there is no export in this place")?;
    let note = read_export(backup_store, name).await?;
    for exported in &note.revisions {
        if done.is_stuck_at(&exported.image) {
            done.leave(&exported.image, exported.number, BEHIND);
            continue;
        }
        let actor = Actor::system("import");
        let taken = catalog.import(&actor, backup_store, &note, exported, args.numbering()).await;
        done.note(&exported.image, exported.number, taken)?;
    }
    Ok(())
}

async fn take_over(
    catalog: &Catalog,
    args: &ImportArgs,
    folder: &Path,
    done: &mut Done,
) -> anyhow::Result<()> {
    let link = args.link || catalog.is_tree(folder);
    let order =
        TakeOver { pattern: args.pattern.clone(), extensions: args.extensions.clone(), link };
    let found = sort(folder, &order)?;
    done.left = found.left;
    for revision in &found.revisions {
        if done.is_stuck_at(&revision.image) {
            done.leave(&revision.image, revision.number.unwrap_or(0), BEHIND);
            continue;
        }
        let taken = match catalog.read_found(revision, &order, args.numbering()).await {
            Ok(incoming) => Box::pin(catalog.take_in(&Actor::system("import"), &incoming)).await,
            Err(error) => Err(error),
        };
        done.note(&revision.image, revision.number.unwrap_or(0), taken)?;
    }
    Ok(())
}

impl Done {
    fn is_stuck_at(&self, image: &ImageName) -> bool {
        self.stuck.contains(image)
    }

    fn leave(&mut self, image: &ImageName, number: i64, why: &str) {
        self.left.push(format!("{image} revision {number}: {why}"));
        self.refused += 1;
    }

    /// What is in the way of one revision is not in the way of the others.
    fn note(
        &mut self,
        image: &ImageName,
        number: i64,
        taken: crate::catalog::Result<Taken>,
    ) -> anyhow::Result<()> {
        use crate::storage::StorageError;
        match taken {
            Ok(Taken::New(number)) => self.taken.push((image.clone(), number)),
            Ok(Taken::There(number)) => self.there.push((image.clone(), number)),
            Err(
                error @ crate::catalog::Error::Storage(
                    StorageError::Unavailable(_) | StorageError::Frozen(_),
                ),
            ) => return Err(error.into()),
            Err(error) => {
                self.leave(image, number, &error.to_string());
                // What is refused for what it is will be refused again.
                let is_refused =
                    matches!(&error, crate::catalog::Error::Storage(StorageError::Unusable(_)));
                if !is_refused {
                    self.stuck.push(image.clone());
                }
            }
        }
        Ok(())
    }
}

fn say(done: &Done, output: Output) -> anyhow::Result<()> {
    let list = |list: &[(ImageName, i64)]| -> Vec<_> {
        list.iter().map(|(image, revision)| json!({"image": image, "revision": revision})).collect()
    };
    let taken = done.taken.iter().map(|(image, number)| format!("{image} revision {number}"));
    let there =
        done.there.iter().map(|(image, number)| format!("{image} revision {number} was there"));
    let left = done.left.iter().map(|left| format!("left: {left}"));
    let lines: Vec<_> = taken.chain(there).chain(left).collect();
    let document =
        json!({"taken": list(&done.taken), "there": list(&done.there), "left": done.left});
    output.result(&lines.join("\n"), &document)?;
    if done.taken.is_empty() && done.there.is_empty() {
        bail!("nothing was taken in");
    }
    if done.refused > 0 {
        bail!("{} revisions were not taken in", done.refused);
    }
    Ok(())
}
