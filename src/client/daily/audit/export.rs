//! `audit export` over HTTP. The server lists the newest rows first, and an export has the oldest first, so the rows
//! are kept in memory until the last one has come: about half a kilobyte for each.

use url::Url;

use super::super::super::connection::Connection;
use super::super::super::error::Failure;
use super::super::super::output::Stream;
use super::super::pages::Pages;
use super::row::sequence;

/// Writes the rows after this one, the oldest first.
pub async fn run(connection: &Connection, audit: Url, after: i64) -> Result<(), Failure> {
    let (mut pages, mut lines) = (Pages::of(connection, audit), Vec::new());
    while let Some(page) = pages.next(u64::MAX).await? {
        let older = page.last().is_some_and(|row| sequence(row) <= after);
        let wanted = page.iter().filter(|row| sequence(row) > after);
        lines.extend(wanted.map(|row| format!("{row}\n")));
        if older {
            break;
        }
    }
    let mut output = Stream::begin();
    for line in lines.iter().rev() {
        if !output.write(line.as_bytes())? {
            break;
        }
    }
    output.end()
}
