//! Leads an image through its life with the client that openapi-generator makes for Rust, on reqwest.
//!
//! Arguments: the server's address, a user's name and password, the .ckm file, the .ckm.index file.

use std::path::{Path, PathBuf};

use imagedepot_api::apis::configuration::Configuration;
use imagedepot_api::apis::{
    Error, files_api, images_api, promotion_api, revisions_api, updates_api, uploads_api,
};
use imagedepot_api::models::{
    Action, FileRole, ImageKind, ImageToCreate, PromotionToCreate, Question, RevisionState,
    RevisionWords, UploadToCreate,
};

const IMAGE: &str = "win7-office";

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, user, password, ckm, index] = &arguments[..] else { panic!("five arguments") };
    let anonymous = Configuration { base_path: server.clone(), ..Configuration::new() };
    let login = Some((user.clone(), Some(password.clone())));
    let admin = Configuration { basic_auth: login, ..anonymous.clone() };

    let revision = upload(&admin, ckm.as_ref(), index.as_ref()).await?;
    let order = PromotionToCreate::new(revision);
    promotion_api::promote(&admin, IMAGE, "production", order, None, None).await?;
    let assigned = promotion_api::get_assignment(&admin, IMAGE, "production").await?;
    assert_eq!(assigned.revision, revision);

    ask_for_updates(&anonymous, revision).await?;
    for (role, path) in [(FileRole::Ckm, ckm), (FileRole::Index, index)] {
        let fetched = files_api::get_file(&admin, IMAGE, revision, role).await?;
        assert!(fetched.bytes().await? == std::fs::read(path)?, "other bytes than were uploaded");
    }
    println!("{IMAGE} {revision} is published");
    Ok(())
}

async fn upload(admin: &Configuration, ckm: &Path, index: &Path) -> Result<i64, Failure> {
    let absent = images_api::get_image(admin, IMAGE).await;
    let Err(Error::ResponseError(refused)) = absent else { panic!("{absent:?}") };
    assert!(refused.status == 404 && refused.content.contains("image_not_found"), "{refused:?}");

    images_api::create_image(admin, ImageToCreate::new(ImageKind::Medv, IMAGE.to_owned())).await?;
    let page = images_api::list_images(admin, Some(10), None, None, None, None, None).await?;
    assert_eq!(page.items[0].name, IMAGE);
    let words = RevisionWords { notes: Some(Some("by a program".to_owned())), ..RevisionWords::new() };
    let draft = revisions_api::create_revision(admin, IMAGE, Some(words)).await?.number;
    // The client sends files in chunks: it does not say how long they are.
    let file = files_api::put_file(admin, IMAGE, draft, FileRole::Ckm, ckm.to_owned()).await?;
    assert_eq!(file.size, i64::try_from(std::fs::metadata(ckm)?.len())?);
    upload_in_parts(admin, draft, index).await?;
    let sealed = revisions_api::seal_revision(admin, IMAGE, draft, None).await?;
    assert_eq!(sealed.state, RevisionState::Ready);
    Ok(draft)
}

async fn upload_in_parts(admin: &Configuration, draft: i64, path: &Path) -> Result<(), Failure> {
    let content = std::fs::read(path)?;
    let (size, half) = (i64::try_from(content.len())?, content.len() / 2);
    let announced = UploadToCreate::new(IMAGE.to_owned(), draft, FileRole::Index, size);
    let upload = uploads_api::create_upload(
        admin, announced, None, None, None, None, None, None, None, None,
    )
    .await?;
    let id = upload.id.to_string();
    let append = async |offset: usize, complete, part: &[u8]| {
        let file = part_file(part)?;
        let offset = Some(i64::try_from(offset)?);
        let appended = uploads_api::append_to_upload(
            admin, &id, file, offset, Some(complete), None, None,
        );
        Ok::<_, Failure>(appended.await)
    };
    // Of an answer without a body it expects one all the same.
    let _no_content = append(0, "?0", &content[..half]).await?;
    assert_eq!(uploads_api::get_upload(admin, &id).await?.received, i64::try_from(half)?);
    let file = append(half, "?1", &content[half..]).await??;
    assert_eq!(file.size, size);
    Ok(())
}

/// A client machine has no credentials.
async fn ask_for_updates(machine: &Configuration, revision: i64) -> Result<(), Failure> {
    let told =
        updates_api::check_for_update(machine, IMAGE, Some("production"), None, Some("pc-1"), None).await?;
    assert_eq!(told.action, Action::UPDATE);
    assert_eq!(told.target.expect("a target").revision, revision);
    let questions = ["win7-office", "none"].map(|image| Question::new(image.to_owned()));
    let answers = updates_api::check_for_updates(machine, questions.into()).await?.items;
    assert_eq!((answers[0].action, &answers[0].problem), (Some(Action::UPDATE), &None));
    assert_eq!(answers[1].problem.as_ref().expect("a problem").code, "image_not_found");
    Ok(())
}

/// The generated client takes files alone.
fn part_file(part: &[u8]) -> Result<PathBuf, Failure> {
    let path = std::env::temp_dir().join(format!("part-{}", part.len()));
    std::fs::write(&path, part)?;
    Ok(path)
}
