//! Images: created, described, deleted. When the name of a deleted image is used again, its revision counter continues.

pub mod filter;

use serde::Serialize;
use serde_json::{Value, json};

use super::audit::{Entry, NOTHING};
use super::{Actor, Catalog, ChangeContext, Error, Precondition, Result};
use crate::model::image::is_extension;
use crate::model::{Image, ImageKind, ImageName, Labels, Role};
use crate::storage::{Change, ImageRecord, Tx};

/// The properties of a new image.
#[derive(Debug, Clone, Serialize)]
pub struct ImageDefinition {
    pub name: ImageName,
    pub kind: ImageKind,
    /// The extension for kind `single`; none means `img`.
    pub extension: Option<String>,
    pub description: String,
    pub labels: Labels,
    pub keep_revisions: Option<i64>,
}

impl ImageDefinition {
    /// Returns a definition with nothing but a name and a kind.
    pub fn bare(name: ImageName, kind: ImageKind) -> Self {
        let (extension, description, labels) = (None, String::new(), Labels::new());
        Self { name, kind, extension, description, labels, keep_revisions: None }
    }
}

/// The fields to change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ImageChange {
    pub description: Option<String>,
    pub labels: Option<Labels>,
    /// `Some(None)` removes the limit, so that all revisions are kept.
    pub keep_revisions: Option<Option<i64>>,
}

impl Image {
    /// Returns what the audit keeps of the image.
    fn shown(&self) -> Value {
        json!({
            "name": self.name, "kind": self.kind, "extension": self.extension, "description": self.description,
            "labels": self.labels, "keep_revisions": self.keep_revisions,
        })
    }
}

impl Catalog {
    pub async fn create_image(&self, actor: &Actor, definition: &ImageDefinition) -> Result<Image> {
        let extension = checked_extension(definition.kind, definition.extension.as_deref())?;
        check_description(&definition.description, &definition.labels, definition.keep_revisions)?;
        let new = ImageRecord {
            id: self.ids.next(),
            name: &definition.name,
            kind: definition.kind,
            extension: &extension,
            description: &definition.description,
            labels: &definition.labels,
            keep_revisions: definition.keep_revisions,
            created_by: &actor.name,
            now: self.clock.now(),
        };
        let mut tx = self.db.write().await?;
        match tx.image_by_key(&definition.name.key()).await? {
            Some(old) => {
                tx.lock_image(old.id).await?;
                // Read again under the lock: another replica may have just created the image again.
                let now = tx.image_by_id(old.id).await?;
                if now.is_none_or(|image| image.deleted_at.is_none()) {
                    return Err(Error::NameTaken(definition.name.to_string()));
                }
                tx.revive_image(old.id, &new).await?;
            }
            None => tx
                .insert_image(&new)
                .await
                .map_err(|error| Error::name_taken(&definition.name, error))?,
        }
        let image = living_image(&mut tx, &definition.name).await?;
        self.audit(&mut tx, entry("image.create", actor, &image), NOTHING, Some(&image.shown()));
        // The snapshot distinguishes an image that offers nothing from one that does not exist.
        tx.raise_catalog_version(Change::Image(image.id)).await?;
        tx.commit().await?;
        self.refresh().await;
        Ok(image)
    }

    pub async fn image(&self, name: &ImageName) -> Result<Image> {
        living_image(&mut self.db.read().await?, name).await
    }

    /// Returns images in the order of their names, beginning after `after`.
    pub async fn images(&self, after: &str, limit: i64) -> Result<Vec<Image>> {
        Ok(self.db.read().await?.images_after(after, limit).await?)
    }

    pub async fn change_image(
        &self,
        actor: &Actor,
        name: &ImageName,
        change: ImageChange,
        condition: &Precondition,
    ) -> Result<Image> {
        let mut tx = self.db.write().await?;
        let mut image = locked_image(&mut tx, name).await?;
        condition.check(Some(&image.tag()))?;
        if is_lower(image.keep_revisions, change.keep_revisions) && !actor.holds(Role::Admin) {
            return Err(Error::Forbidden(
                "only an admin may lower keep_revisions, because that deletes revisions",
            ));
        }
        let before = image.shown();
        image.description = change.description.unwrap_or(image.description);
        image.labels = change.labels.unwrap_or(image.labels);
        image.keep_revisions = change.keep_revisions.unwrap_or(image.keep_revisions);
        check_description(&image.description, &image.labels, image.keep_revisions)?;
        image.version += 1;
        image.updated_at = self.clock.now();
        tx.update_image(&image).await?;
        let entry = entry("image.change", actor, &image);
        self.audit(&mut tx, entry, Some(&before), Some(&image.shown()));
        // Update checks may depend on what has changed.
        tx.raise_catalog_version(Change::Image(image.id)).await?;
        tx.commit().await?;
        self.refresh().await;
        Ok(image)
    }

    /// Deletes the image with all its revisions. Refused while one of them is assigned to a channel, or protected.
    pub async fn delete_image(&self, context: ChangeContext<'_>, name: &ImageName) -> Result<()> {
        let ChangeContext { actor, condition, execution } = context;
        let mut tx = self.db.write_to_free().await?;
        let mut image = locked_image(&mut tx, name).await?;
        condition.check(Some(&image.tag()))?;
        for mut revision in tx.living_revisions(image.id).await? {
            self.make_tombstone(&mut tx, &mut revision).await?;
        }
        image.version += 1;
        image.updated_at = self.clock.now();
        image.deleted_at = Some(image.updated_at);
        tx.update_image(&image).await?;
        self.audit(&mut tx, entry("image.delete", actor, &image), Some(&image.shown()), NOTHING);
        tx.raise_catalog_version(Change::Image(image.id)).await?;
        if execution.is_dry_run() {
            return Ok(());
        }
        tx.commit().await?;
        self.refresh().await;
        self.tree_is_due();
        self.sweep_is_due();
        Ok(())
    }
}

fn entry<'a>(action: &'static str, actor: &'a Actor, image: &Image) -> Entry<'a> {
    Entry { action, subject: format!("images/{}", image.name), actor }
}

pub(crate) async fn living_image(tx: &mut Tx, name: &ImageName) -> Result<Image> {
    let image = tx.image_by_key(&name.key()).await?;
    image.filter(|image| image.deleted_at.is_none()).ok_or(Error::ImageNotFound)
}

/// Returns the image, locked against other changes until the commit.
pub(crate) async fn locked_image(tx: &mut Tx, name: &ImageName) -> Result<Image> {
    let image = living_image(tx, name).await?;
    tx.lock_image(image.id).await?;
    // Read again under the lock: another replica may have changed it while this one waited.
    let image: Option<Image> = tx.image_by_id(image.id).await?;
    image.filter(|image| image.deleted_at.is_none()).ok_or(Error::ImageNotFound)
}

fn checked_extension(kind: ImageKind, extension: Option<&str>) -> Result<String> {
    match (kind, extension) {
        (ImageKind::Medv, None | Some("ckm")) => Ok("ckm".to_owned()),
        (ImageKind::Medv, Some(_)) => {
            Err(Error::invalid("extension", "must be ckm for images of kind medv"))
        }
        (ImageKind::Single, None) => Ok("img".to_owned()),
        (ImageKind::Single, Some(extension)) => {
            let plain = is_extension(extension)
                // These could be mistaken for files of other kinds.
                && !["index", "ckm", "chunks", "json", "jws"].contains(&extension.to_ascii_lowercase().as_str());
            if plain {
                Ok(extension.to_owned())
            } else {
                Err(Error::invalid(
                    "extension",
                    "must be 1 to 16 letters and digits, but not ckm, index, chunks, json or jws",
                ))
            }
        }
    }
}

pub(crate) fn check_labels(labels: &Labels) -> Result<()> {
    let fits = |text: &String, longest| text.len() <= longest;
    if labels.len() <= 64 && labels.iter().all(|(key, value)| fits(key, 100) && fits(value, 1000)) {
        Ok(())
    } else {
        Err(Error::invalid(
            "labels",
            "must be at most 64, with keys of up to 100 bytes and values of up to 1,000 bytes",
        ))
    }
}

/// Reports whether a change makes retention remove revisions that it keeps now; none keeps all.
fn is_lower(before: Option<i64>, change: Option<Option<i64>>) -> bool {
    let Some(Some(after)) = change else { return false };
    before.is_none_or(|before| after < before)
}

fn check_description(
    description: &str,
    labels: &Labels,
    keep_revisions: Option<i64>,
) -> Result<()> {
    if description.len() > 10_000 {
        return Err(Error::invalid("description", "must have at most 10,000 bytes"));
    }
    if keep_revisions.is_some_and(|keep| !(1..=1_000_000).contains(&keep)) {
        return Err(Error::invalid(
            "keep_revisions",
            "must be from 1 to 1,000,000, or null to keep all",
        ));
    }
    check_labels(labels)
}
