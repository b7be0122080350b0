//! The steps that turn old data into a new piece, as bsdiff finds them: stretches that are nearly equal, with new bytes
//! between them.
//!
//! Programs that are built anew differ in scattered bytes, where they name addresses: exact matches would be short and
//! many. So a stretch goes on through differences, as long as more than half of its bytes are equal.

use super::matches::{Match, Matches};

/// A step: so many bytes are taken from the old data, with differences, then so many new ones follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub old: usize,
    pub add: usize,
    pub insert: usize,
}

/// The bytes by which a match has to be longer than what the last stretch would give.
const BETTER: usize = 8;

/// The bytes by which a match is extended backwards at most. In data that looks alike everywhere, such as a table of mostly
/// empty records, each match could be extended to the start of the piece, and all of them together would take for ever.
const BACKWARDS: usize = 4 << 10;

/// Returns the steps that make `new`.
pub(super) fn steps(old: &[u8], new: &[u8]) -> Vec<Step> {
    let mut matches = Matches::of(old);
    let mut line = Line { old: 0, new: 0 };
    let mut steps = Vec::new();
    let mut found = Found { new: 0, in_old: Match::default(), equal_in_line: 0 };
    while found.new < new.len() {
        let from = found.new + found.in_old.length;
        found = next(&mut matches, line, old, new, from);
        let goes_on = found.in_old.length == found.equal_in_line;
        if !goes_on || found.new == new.len() {
            let (step, next) = step(old, new, line, &found);
            if step.add + step.insert > 0 {
                steps.push(step);
            }
            line = next;
        }
    }
    steps
}

/// The place in the old and in the new data from which the last stretch begins.
#[derive(Debug, Clone, Copy)]
struct Line {
    old: usize,
    new: usize,
}

impl Line {
    /// Returns the old place that continues the stretch at this new one.
    fn at(self, new: usize, old: &[u8]) -> Option<usize> {
        let place = self.old + new - self.new;
        (place < old.len()).then_some(place)
    }
}

#[derive(Debug)]
struct Found {
    new: usize,
    in_old: Match,
    /// The number of bytes of the match that the last stretch has, too.
    equal_in_line: usize,
}

/// Looks for the next match that is worth a step, or that goes on with the last stretch.
fn next(matches: &mut Matches<'_>, line: Line, old: &[u8], new: &[u8], from: usize) -> Found {
    let is_equal = |at: usize| line.at(at, old).is_some_and(|place| old[place] == new[at]);
    let mut equal = 0_usize;
    let mut counted = from;
    for at in from..new.len() {
        let in_old = matches.find(&new[at..], line.at(at, old));
        let end = at + in_old.length;
        while counted < end {
            equal += usize::from(is_equal(counted));
            counted += 1;
        }
        if (in_old.length == equal && equal > 0) || in_old.length > equal + BETTER {
            return Found { new: at, in_old, equal_in_line: equal };
        }
        // Only what the next match covers counts.
        if counted > at && is_equal(at) {
            equal -= 1;
        }
        counted = counted.max(at + 1);
    }
    Found { new: new.len(), in_old: Match::default(), equal_in_line: 0 }
}

/// Ends the last stretch at the match: it is extended forwards, the match backwards, and where both meet the better one
/// gets the bytes. Returns the step and the beginning of the next stretch.
fn step(old: &[u8], new: &[u8], line: Line, found: &Found) -> (Step, Line) {
    let gap = &new[line.new..found.new];
    let mut forwards = extend(old[line.old..].iter().zip(gap));
    let mut backwards = 0;
    if found.new < new.len() {
        let pairs = old[..found.in_old.old].iter().rev().zip(gap.iter().rev());
        backwards = extend(pairs.take(BACKWARDS));
    }
    if forwards + backwards > gap.len() {
        let overlap = forwards + backwards - gap.len();
        let start = forwards - overlap;
        let ours = &old[line.old + start..line.old + forwards];
        let theirs = &old[found.in_old.old - backwards..][..overlap];
        let kept = border(ours, theirs, &gap[start..forwards]);
        forwards = start + kept;
        backwards -= kept;
    }
    let insert = gap.len() - forwards - backwards;
    let step = Step { old: line.old, add: forwards, insert };
    (step, Line { old: found.in_old.old - backwards, new: found.new - backwards })
}

/// Returns how far two sequences go together: the length at which equal bytes lead most over different ones.
fn extend<'a>(pairs: impl Iterator<Item = (&'a u8, &'a u8)>) -> usize {
    let (mut lead, mut best, mut length) = (0_i64, 0, 0);
    for (index, (one, other)) in pairs.enumerate() {
        lead += if one == other { 1 } else { -1 };
        if lead > best {
            (best, length) = (lead, index + 1);
        }
    }
    length
}

/// Returns how many of the bytes at the start are better taken from `ours` than from `theirs`.
fn border(ours: &[u8], theirs: &[u8], wanted: &[u8]) -> usize {
    let (mut lead, mut best, mut kept) = (0_i64, 0, 0);
    for (index, ((ours, theirs), wanted)) in ours.iter().zip(theirs).zip(wanted).enumerate() {
        lead += i64::from(ours == wanted) - i64::from(theirs == wanted);
        if lead > best {
            (best, kept) = (lead, index + 1);
        }
    }
    kept
}
