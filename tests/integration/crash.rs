//! SIGKILL at varied points of PUT, seal, promote and publish: after the restart everything that
//! was acknowledged is there, nothing half-made is visible, and nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::harness::actions::{assignment_path, file_path, revision_path};
use crate::harness::channel_folder::is_document;
use crate::harness::folder::published_below;
use crate::harness::sample::{self, random_below};
use crate::harness::{Answer, Database, Depot, Person, eventually, is_long_run, on_both_databases};

on_both_databases![kills_at_any_point_lose_nothing_acknowledged];

const IMAGE: &str = "win7-office";
const ROLES: [&str; 2] = ["ckm", "index"];

/// The step of an image's life at which the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Put,
    Seal,
    Promote,
    /// The tree follows a promotion that is acknowledged already.
    Publish,
}

/// Each step with the milliseconds within which it is killed: about as long as it takes.
const STEPS: [(Step, u64); 4] =
    [(Step::Put, 80), (Step::Seal, 15), (Step::Promote, 15), (Step::Publish, 30)];

/// The changes that the server has acknowledged, over all its restarts.
#[derive(Default)]
struct Acknowledged {
    revisions: BTreeMap<u64, Revision>,
    promoted: Option<u64>,
    /// Asked for and not answered: it may have happened or not.
    promotion_in_doubt: Option<u64>,
}

#[derive(Default)]
struct Revision {
    /// Digests by role.
    files: BTreeMap<&'static str, String>,
    sealed: bool,
}

async fn kills_at_any_point_lose_nothing_acknowledged(database: Database) {
    let mut depot = Depot::on(database).setting("tree", "grace", "0s").start().await;
    depot.admin().create_image(IMAGE).await;
    // With both databases 64 kills; 640 in a long run.
    let rounds = if is_long_run() { 80 } else { 8 };
    let mut acknowledged = Acknowledged::default();
    for round in 1..=rounds {
        for (step, milliseconds) in STEPS {
            let delay = Duration::from_micros(random_below(milliseconds * 1000));
            // A person of its own each time: connections to a killed server are of no use.
            let person = depot.admin();
            let revision = person.draft(IMAGE).await;
            acknowledged.revisions.insert(revision, Revision::default());
            lead_to(step, &person, revision, &mut acknowledged).await;
            let killed = async {
                tokio::time::sleep(delay).await;
                depot.server.kill();
            };
            tokio::join!(perform(step, &person, revision, &mut acknowledged), killed);
            depot.server.start_again().await;
            println!("round {round}: {step:?} of revision {revision}, killed after {delay:?}");
            nothing_acknowledged_is_lost(&depot, &mut acknowledged).await;
            nothing_half_made_is_in_the_tree(&depot).await;
            nothing_is_left_over(&depot).await;
        }
    }
}

/// Takes a draft up to where `step` begins.
async fn lead_to(step: Step, person: &Person, revision: u64, acknowledged: &mut Acknowledged) {
    let before: &[Step] = match step {
        Step::Put => &[],
        Step::Seal => &[Step::Put],
        Step::Promote => &[Step::Put, Step::Seal],
        Step::Publish => &[Step::Put, Step::Seal, Step::Promote],
    };
    for &step in before {
        perform(step, person, revision, acknowledged)
            .await
            .unwrap_or_else(|| panic!("{step:?} without a kill failed"));
    }
}

/// Does a step and notes what is acknowledged of it; `None` when the server died meanwhile.
async fn perform(
    step: Step,
    person: &Person,
    number: u64,
    acknowledged: &mut Acknowledged,
) -> Option<()> {
    let noted = acknowledged.revisions.get_mut(&number).expect("drafts are noted");
    match step {
        Step::Put => {
            for (role, length) in ROLES.into_iter().zip([3_000_000, 20_000]) {
                let bytes = sample::bytes(number, length);
                let digest = sample::digest(&bytes);
                let call = person.put(&file_path(IMAGE, number, role)).body(bytes);
                answered(call.try_send().await, 201)?;
                noted.files.insert(role, digest);
            }
        }
        Step::Seal => {
            let call = person.post(&format!("{}/seal", revision_path(IMAGE, number)));
            answered(call.try_send().await, 200)?;
            noted.sealed = true;
        }
        Step::Promote => {
            acknowledged.promotion_in_doubt = Some(number);
            let call = person.put(&assignment_path(IMAGE, "production"));
            answered(call.json(&json!({"revision": number})).try_send().await, 200)?;
            acknowledged.promotion_in_doubt = None;
            acknowledged.promoted = Some(number);
        }
        Step::Publish => {}
    }
    Some(())
}

/// `None` when the connection broke; any answer that came must be the right one.
fn answered(answer: Result<Answer, reqwest::Error>, status: u16) -> Option<()> {
    answer.ok()?.expecting(status);
    Some(())
}

async fn nothing_acknowledged_is_lost(depot: &Depot, acknowledged: &mut Acknowledged) {
    let admin = depot.admin();
    for (&number, noted) in &acknowledged.revisions {
        let revision = admin.revision(IMAGE, number).await;
        if noted.sealed {
            assert_eq!(revision["state"], "ready", "{revision}");
        }
        for (role, digest) in &noted.files {
            let files = revision["files"].as_array().expect("files");
            let file = files.iter().find(|file| file["role"] == *role);
            assert_eq!(file.expect("an acknowledged file")["digest"], **digest);
        }
        for file in revision["files"].as_array().expect("files") {
            let role = file["role"].as_str().expect("a role");
            let bytes = admin.get(&file_path(IMAGE, number, role)).await.expecting(200).body;
            assert_eq!(file["digest"], sample::digest(&bytes), "revision {number}, {role}");
        }
    }
    if acknowledged.promoted.is_none() && acknowledged.promotion_in_doubt.is_none() {
        return;
    }
    let assigned = admin.get(&assignment_path(IMAGE, "production")).await;
    let assigned = (assigned.status == 200).then(|| assigned.json()["revision"].as_u64()).flatten();
    // Whether the promotion in doubt happened is settled now.
    if let Some(in_doubt) = acknowledged.promotion_in_doubt.take()
        && assigned == Some(in_doubt)
    {
        acknowledged.promoted = assigned;
    }
    assert_eq!(assigned, acknowledged.promoted, "an acknowledged promotion is lost");
}

async fn nothing_half_made_is_in_the_tree(depot: &Depot) {
    let admin = depot.admin();
    let shown = depot.anonymous().get_tree("channel.json").await.expecting(200).json();
    let assigned = shown["images"][0]["revision"].as_u64();
    if assigned.is_some() {
        admin.wait_until_published(IMAGE, "production").await;
    }
    eventually("the folder holds the revision assigned and nothing strange", || async {
        let mut shown_revisions = BTreeSet::new();
        for name in published_below(&depot.tree()).into_keys() {
            if is_document(&name) {
                continue;
            }
            let (number, role) = revision_and_role(&name)?;
            let bytes = std::fs::read(depot.tree().join(&name)).ok()?;
            let revision = admin.revision(IMAGE, number).await;
            assert_eq!(revision["state"], "ready", "{name}: {revision}");
            let files = revision["files"].as_array().expect("files");
            let file = files.iter().find(|file| file["role"] == role).expect("the role");
            assert_eq!(file["digest"], sample::digest(&bytes), "{name} is not complete");
            shown_revisions.insert(number);
        }
        // The one assigned, and with `keep_old` = 1 the one before.
        let complete = shown_revisions.len() <= 2
            && assigned.is_none_or(|number| shown_revisions.contains(&number));
        complete.then_some(())
    })
    .await;
}

/// Returns the revision and the role of a name such as `win7-office_12.ckm.index`; none if no published file has it.
fn revision_and_role(name: &str) -> Option<(u64, &'static str)> {
    let (number, extension) = name.strip_prefix("win7-office_")?.split_once('.')?;
    let role = match extension {
        "ckm" => "ckm",
        "ckm.index" => "index",
        _ => return None,
    };
    Some((number.parse().ok()?, role))
}

/// Asserts that as many files are stored as revisions have, so that nothing is left over from a step that broke off.
async fn nothing_is_left_over(depot: &Depot) {
    let admin = depot.admin();
    let mut files = 0;
    let mut next = Some("/api/v1/images/win7-office/revisions?limit=500".to_owned());
    while let Some(path) = next {
        let page = admin.get(&path).await.expecting(200);
        for revision in page.items() {
            files += revision["files"].as_array().expect("files").len();
        }
        next = page.json()["next_cursor"].as_str().map(|cursor| {
            format!("/api/v1/images/win7-office/revisions?limit=500&cursor={cursor}")
        });
    }
    depot.comes_to_store(files).await;
}
