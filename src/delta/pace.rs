//! The caller's word between two steps of long work: it may wait there, report progress, or stop the work.
//!
//! How much CPU and disk the work may take is the caller's decision; this room only asks often enough. A step is at most
//! about a second of work.

use super::error::Error;

/// The decision whether the work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    GoOn,
    Stop,
}

/// The amount of work done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    /// Bytes of the file that the phase goes through.
    pub done: u64,
    pub total: u64,
}

/// The parts of the work, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A file is divided into chunks.
    Chunking,
    /// The base is read, in order to find its data again.
    Indexing,
    /// The pieces are made.
    Making,
    /// The pieces are put together.
    Applying,
}

/// A caller that is asked between two steps.
pub trait Pace {
    fn between(&mut self, progress: Progress) -> Next;
}

impl<F: FnMut(Progress) -> Next> Pace for F {
    fn between(&mut self, progress: Progress) -> Next {
        self(progress)
    }
}

/// A caller that never waits and never stops.
#[derive(Debug, Clone, Copy)]
pub struct Unpaced;

impl Pace for Unpaced {
    fn between(&mut self, _: Progress) -> Next {
        Next::GoOn
    }
}

/// Asks the caller, and ends the work if it says so.
pub(super) fn ask(pace: &mut dyn Pace, progress: Progress) -> Result<(), Error> {
    match pace.between(progress) {
        Next::GoOn => Ok(()),
        Next::Stop => Err(Error::Canceled),
    }
}
