//! The record of the fleet: what each client last asked, and what it was told.
//!
//! An update check only notes itself in memory ([`recorder`]). What was noted is written to the catalog every two
//! seconds, in short transactions (`writer`). While the database does not answer, it is kept, up to a limit; what is
//! beyond that is not recorded. Two limits keep strangers from filling the record: the number of new ids of one
//! address and minute ([`newcomers`]), and the number of clients in all (`limit`). `clients` has what callers read and
//! delete.
//!
//! Two other records are beside it: what clients report (`reports`), and what mirrors have ([`mirrors`]).
//!
//! A kill loses the checks of the last seconds: those clients come again within one period.

mod clients;
mod error_text;
pub mod forecast;
mod halt;
mod limit;
pub mod mirrors;
mod new_reporters;
pub mod newcomers;
pub mod progress;
pub mod recorder;
mod reports;
pub mod size;
pub mod waiting_reports;
mod writer;

pub use clients::Forgotten;
pub use waiting_reports::Report;
