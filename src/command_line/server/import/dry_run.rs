//! `imagedepot import --dry-run`: lists what there is, without a catalog. Only the import itself can tell whether a
//! number is already taken there.

use serde_json::json;

use crate::client::Failure;
use crate::client::output::Output;
use crate::model::ImageName;
use crate::upkeep::export::ExportNote;
use crate::upkeep::take_over::Folder;
use crate::upkeep::transfer::Numbering;

pub(super) fn say(
    note: Option<&ExportNote>,
    found: Option<&Folder>,
    numbering: Numbering,
    output: Output,
) -> Result<(), Failure> {
    let mut there: Vec<(ImageName, Option<i64>)> = Vec::new();
    let exported = note.iter().flat_map(|note| &note.revisions);
    there.extend(exported.map(|one| (one.image.clone(), Some(one.number))));
    let revisions = found.iter().flat_map(|found| &found.revisions);
    there.extend(revisions.map(|one| (one.image.clone(), one.number)));
    let left: Vec<_> = found.iter().flat_map(|found| found.left.clone()).collect();
    let would =
        there.iter().map(|(image, number)| match number.filter(|_| numbering == Numbering::Own) {
            Some(number) => format!("would import {image} revision {number}"),
            None => format!("would import {image} under its next number"),
        });
    let passed_over = left.iter().map(|left| format!("left out: {left}"));
    let count = format!("{} revisions, {} left out; nothing was changed", there.len(), left.len());
    let lines: Vec<_> = would.chain(passed_over).chain([count]).collect();
    let items: Vec<_> =
        there.iter().map(|(image, number)| json!({"image": image, "revision": number})).collect();
    let document = json!({"dry_run": true, "would_take": items, "left": left});
    output.result(&lines.join("\n"), &document)
}
