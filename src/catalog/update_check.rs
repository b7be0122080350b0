//! The update check: what a client machine is told to do. It is a pure function of the snapshot, the question and the
//! time, without a database.
//!
//! [`rules`] has the rules in their order: the first one that decides chooses the verdict, and [`decide`] turns that
//! into the answer. [`explain`] shows every rule that was weighed. [`load`] is how a server protects itself from too many questions.

mod answer;
mod case;
pub mod explain;
pub mod load;
pub mod rules;
#[cfg(test)]
pub(super) mod tests;
mod verdict;

pub use self::answer::{Action, Decision, Reason};
use self::case::Case;
pub use self::case::Question;
use self::rules::{Rule, Verdict, Weighed};
use super::snapshot::ImageOffer;
use crate::model::ChannelName;

/// Decides for a client.
pub fn decide<'a>(
    image: &'a ImageOffer,
    channel: &ChannelName,
    question: Question<'_>,
) -> Decision<'a> {
    let case = Case::new(image, channel, question);
    let mut verdict = Verdict::Nothing(Action::None, Reason::NothingAssigned);
    for rule in Rule::ALL {
        if let Weighed::Decided(decided) = rule.weigh(&case) {
            verdict = decided;
            break;
        }
    }
    case.decision(verdict)
}
