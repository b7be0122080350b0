//! The checks of a promotion's terms that their types cannot express.

use chrono::{DateTime, Datelike as _, Utc};

use crate::catalog::{Error, Result};
use crate::model::rollout::Window;
use crate::model::{Rollout, Terms};

pub(in crate::catalog) fn check_terms(terms: &Terms) -> Result<()> {
    check_note(&terms.note)?;
    check_time("deadline", terms.for_clients.deadline)?;
    check_rollout(&terms.rollout)
}

fn check_rollout(rollout: &Rollout) -> Result<()> {
    check_time("rollout.start", rollout.start)?;
    match rollout.windows.iter().find(|window| window.zone.zone().is_none()) {
        Some(Window { zone, .. }) => Err(Error::invalid(
            "rollout.windows.zone",
            format!(
                "this machine knows no time zone {}; use an IANA name such as Europe/Berlin, and install the package \
                 tzdata if none is known",
                zone.as_str()
            ),
        )),
        None => Ok(()),
    }
}

/// Checks a time. RFC 3339 has four digits for the year, and clients must not get a date that they cannot parse.
fn check_time(field: &'static str, time: Option<DateTime<Utc>>) -> Result<()> {
    if time.is_none_or(|time| (1970..=9999).contains(&time.year())) {
        Ok(())
    } else {
        Err(Error::invalid(field, "must be in a year from 1970 to 9999"))
    }
}

fn check_note(note: &str) -> Result<()> {
    if note.len() <= 10_000 {
        Ok(())
    } else {
        Err(Error::invalid("note", "must have at most 10,000 bytes"))
    }
}
