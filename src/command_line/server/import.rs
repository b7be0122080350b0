//! `imagedepot import`. `dry_run` reports what it would do.

mod dry_run;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::absent::named;
use super::backup::open_written_backup_store;
use super::data::{CATALOG_NOT_FOUND, DataArgs, must_belong_to_current_user, open_to_fill};
use super::refusal::Incomplete;
use crate::catalog::promotion::PromotionOrder;
use crate::catalog::{Actor, Catalog, ChangeContext};
use crate::client::folder::folder;
use crate::client::nearest::absent;
use crate::client::output::Output;
use crate::client::{Exit, Failure};
use crate::config::Config;
use crate::model::channel::{PRODUCTION, TEST};
use crate::model::{ChannelName, ImageName, NamePattern};
use crate::storage::backup_store::{BackupStore, Place};
use crate::storage::instance::Instance;
use crate::upkeep::export::{ExportNote, exports, read_export};
use crate::upkeep::take_over::{Folder, TakeOver, sort};
use crate::upkeep::transfer::{Numbering, Taken};

/// The arguments of `import`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["from", "tree"])))]
pub struct ImportArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// Place that `export` wrote to: a folder, or a bucket such as `s3://backups/imagedepot`
    #[arg(long, value_name = "PLACE")]
    from: Option<Place>,
    /// Name of the export [default: the newest]
    #[arg(long, value_name = "NAME", requires = "from")]
    at: Option<String>,
    /// Folder of images that another system kept, such as `MEDVImages`
    #[arg(long, value_name = "DIR", value_parser = folder())]
    tree: Option<PathBuf>,
    /// Regular expression with the groups image and revision, which finds them in the names of files
    #[arg(long, value_name = "REGEX", requires = "tree", default_value = NamePattern::WITH_REVISION)]
    pattern: NamePattern,
    /// Extension of images that are one file, in addition to MED-V's pairs; may be given several times
    #[arg(long = "extension", value_name = "EXT", requires = "tree")]
    extensions: Vec<String>,
    /// Make hard links instead of copies, for files on the store's disk
    #[arg(long, requires = "tree")]
    link: bool,
    /// Give every revision the image's next number instead of its own
    #[arg(long)]
    renumber: bool,
    /// Report what would be imported and what would be left out, and import nothing
    #[arg(long)]
    dry_run: bool,
    /// Promote the imported revisions to this channel, the highest revision of each image last
    #[arg(long, value_name = "CHANNEL")]
    promote_to: Option<ChannelName>,
}

impl ImportArgs {
    fn take_over(&self) -> TakeOver {
        let (pattern, extensions) = (self.pattern.clone(), self.extensions.clone());
        TakeOver { pattern, extensions, link: self.link }
    }

    fn numbering(&self) -> Numbering {
        if self.renumber { Numbering::Next } else { Numbering::Own }
    }
}

/// The result of an import.
#[derive(Default)]
struct Done {
    taken: Vec<(ImageName, i64)>,
    there: Vec<(ImageName, i64)>,
    /// Files that belong to no revision, and revisions that could not be imported.
    left: Vec<String>,
    /// The number of revisions that could not be imported.
    refused: usize,
    /// Images with a revision that could not be imported. A later revision would make its number unavailable.
    stuck: Vec<ImageName>,
}

const BEHIND: &str = "skipped, because an earlier revision was not imported and could not get its number after this one";

pub async fn run(args: ImportArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let config = args.data.config(file)?;
    let backup_store =
        args.from.as_ref().map(|place| open_written_backup_store(place, &config)).transpose()?;
    // The folder is read first, so that no catalog is made for a folder that is not there.
    let found = args.tree.as_deref().map(|folder| sort(folder, &args.take_over())).transpose()?;
    if args.dry_run {
        let note = match &backup_store {
            Some(from) => Some(chosen_export(&args, from).await?),
            None => None,
        };
        let (numbering, output) = (args.numbering(), args.data.output);
        return Ok(dry_run::say(note.as_ref(), found.as_ref(), numbering, output)?);
    }
    must_belong_to_current_user(&config, &args.data.data)?;
    let (catalog, _held) = open_or_begin(&args, &config, file).await?;
    let done = take_all(&catalog, &args, backup_store.as_ref(), found).await;
    catalog.close().await;
    say(&done?, args.data.output)
}

/// Opens the catalog. In a new place it begins one, with the channels that every new catalog has; the first start of
/// the server creates the administrator.
async fn open_or_begin(
    args: &ImportArgs,
    config: &Config,
    file: Option<&Path>,
) -> anyhow::Result<(Catalog, Option<Instance>)> {
    let error = match args.data.open_catalog(file).await {
        Ok(catalog) => return Ok((catalog, None)),
        Err(error) => error,
    };
    let code = error.downcast_ref::<Failure>().and_then(Failure::code);
    if code != Some(CATALOG_NOT_FOUND) {
        return Err(error);
    }
    if let Some(channel) = &args.promote_to
        && ![TEST, PRODUCTION].iter().any(|first| channel.as_str().eq_ignore_ascii_case(first))
    {
        let first = [TEST, PRODUCTION].map(str::to_owned);
        let message = absent("channel", channel.as_str(), first);
        return Err(Failure::new(Exit::NotFound, message).with_code("channel_not_found").into());
    }
    let (catalog, held) = open_to_fill(config, &args.data.data).await?;
    if let Err(error) = catalog.make_first_channels().await {
        catalog.close().await;
        return Err(error.into());
    }
    Ok((catalog, Some(held)))
}

async fn take_all(
    catalog: &Catalog,
    args: &ImportArgs,
    backup_store: Option<&BackupStore>,
    found: Option<Folder>,
) -> anyhow::Result<Done> {
    // Checked first: otherwise a misspelt name would be reported after hours of reading.
    if let Some(channel) = &args.promote_to
        && let Err(error) = catalog.channel(channel).await
    {
        return Err(named(catalog, error, channel).await);
    }
    let mut done = Done::default();
    match (backup_store, found) {
        (Some(backup_store), _) => import_export(catalog, args, backup_store, &mut done).await?,
        (None, Some(found)) => take_over(catalog, args, found, &mut done).await?,
        (None, None) => bail!("set --from or --tree to what is to be imported"),
    }
    if let Some(channel) = &args.promote_to {
        // One after the other, so that the tree keeps the earlier ones and a rollback finds them.
        let mut taken: Vec<_> = done.taken.iter().chain(&done.there).cloned().collect();
        taken.sort_by_key(|(image, number)| (image.key(), *number));
        for (image, revision) in taken {
            // It was promoted by an interrupted run, or by somebody since.
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
    let note = chosen_export(args, backup_store).await?;
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

async fn chosen_export(args: &ImportArgs, from: &BackupStore) -> anyhow::Result<ExportNote> {
    let names = exports(from).await?;
    let absent = |what: String| Failure::new(Exit::NotFound, format!("{what} in this place"));
    let name = match &args.at {
        Some(name) if !names.contains(name) => {
            return Err(absent(format!("there is no export {name}")).into());
        }
        Some(name) => name,
        None => names.last().ok_or_else(|| absent("there is no export".to_owned()))?,
    };
    Ok(read_export(from, name).await?)
}

async fn take_over(
    catalog: &Catalog,
    args: &ImportArgs,
    found: Folder,
    done: &mut Done,
) -> anyhow::Result<()> {
    let mut order = args.take_over();
    order.link |= args.tree.as_deref().is_some_and(|folder| catalog.is_tree(folder));
    done.left = found.left;
    for revision in &found.revisions {
        if done.is_stuck_at(&revision.image) {
            done.leave(&revision.image, revision.number.unwrap_or(0), BEHIND);
            continue;
        }
        let taken = match catalog.read_found(revision, &order, args.numbering()).await {
            Ok(incoming) => catalog.take_in(&Actor::system("import"), &incoming).await,
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

    /// Records the outcome of one revision. An error that concerns only this revision does not end the import.
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
                // A revision that is refused for its content will be refused again, so later ones do not wait for it.
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
    let there = done
        .there
        .iter()
        .map(|(image, number)| format!("{image} revision {number} already exists"));
    let left = done.left.iter().map(|left| format!("left out: {left}"));
    let lines: Vec<_> = taken.chain(there).chain(left).collect();
    let document =
        json!({"taken": list(&done.taken), "there": list(&done.there), "left": done.left});
    output.result(&lines.join("\n"), &document)?;
    if done.taken.is_empty() && done.there.is_empty() {
        return Err(Incomplete("nothing was imported".to_owned()).into());
    }
    if done.refused > 0 {
        return Err(Incomplete(format!("{} revisions were not imported", done.refused)).into());
    }
    Ok(())
}
