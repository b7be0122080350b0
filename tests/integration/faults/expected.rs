//! How each operation is to end under each fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A way in which the database (of one replica, or of both) or the bucket (of both) fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    DatabaseSilent,
    DatabaseSilentWithinAnswers,
    DatabaseResets,
    DatabaseSlow,
    DatabaseReadOnly,
    DatabaseFull,
    DatabaseLocked,
    BucketSilent,
    BucketSlow,
    BucketRefuses,
    BucketShortens,
    BucketFlips,
    BucketLosesAnswers,
    BucketListsOld,
}

impl Fault {
    pub fn is_of_the_bucket(self) -> bool {
        format!("{self:?}").starts_with("Bucket")
    }

    /// True if the bucket answers other bytes than it was given.
    pub fn changes_bytes(self) -> bool {
        matches!(self, Self::BucketShortens | Self::BucketFlips)
    }
}

/// Operations and how each ended.
pub type Row = BTreeMap<&'static str, String>;

/// A word for each operation:
/// - `done`: as ever;
/// - `503`: refused with `Retry-After`, and nothing of it stays;
/// - `401`: the token is known to be revoked; `valid`: its revocation was refused, so that it holds;
/// - `later`: acknowledged, and done once the fault is over, or once the other replica may take the work over;
/// - `failed`: the command says why and its exit code is not 0;
/// - `back`: the client is told to send again what a changed answer of the bucket has made doubtful;
/// - `again`: the same of a whole file; `damaged`: the scrub keeps what it read from clients, until it reads it again;
/// - `differs`: the client sees that the bytes are others or end too soon;
/// - words with a bar between them: one of these.
const TABLE: &str = "
fault                       check download log-in token     promotion    put          tus          ietf         bits         publication        scrub              garbage      backup
DatabaseSilent              done  done     503    503       503          503          503          503          503          done|later         503                503          failed
DatabaseSilentWithinAnswers done  done     503    503       503          503          503          503          503          done|later         503                503          failed
DatabaseResets              done  done     503    503       503          503          503          503          503          done|later         503                503          failed
DatabaseSlow                done  done     done   401       done         done         done         done         done         done|later         done|later         done         done
DatabaseReadOnly            done  done     done   valid     503          503          503          503          503          503                503                503          done
DatabaseFull                done  done     done   401|valid done|503|507 done|503|507 done|503|507 done|503|507 done|503|507 done|later|503|507 done|later|503|507 done|503|507 done|failed
DatabaseLocked              done  done     503    503       503          503          503          503          503          503                503                503          failed
BucketSilent                done  503      done   401       done         503          503          503          503          later              later              503          failed
BucketSlow                  done  done     done   401       done         done         done         done         done         done|later         done|later         done         done
BucketRefuses               done  503      done   401       done         503          503          503          503          later              later              503          failed
BucketShortens              done  differs  done   401       done         again        back         back         back         later              damaged|later      done         failed
BucketFlips                 done  differs  done   401       done         done         back         back         back         done|later         later              503          failed
BucketLosesAnswers          done  done     done   401       done         done         done         done         done         done|later         done|later         done         done
BucketListsOld              done  done     done   401       done         done         done         done         done         done|later         done|later         done         done
";

/// The table's row for a fault.
pub fn row(fault: Fault) -> Row {
    let mut lines = TABLE.trim().lines().map(str::split_whitespace);
    let operations = lines.next().expect("a head").skip(1);
    let name = format!("{fault:?}");
    let row = lines.find_map(|mut words| (words.next() == Some(&name)).then_some(words));
    let words = row.unwrap_or_else(|| panic!("no row for {name}"));
    operations.zip(words).map(|(operation, word)| (operation, word.to_owned())).collect()
}

/// Fails with every operation that ended otherwise than expected.
pub fn compare(fault: Fault, expected: &Row, found: &Row) {
    assert_eq!(expected.len(), found.len(), "every operation is tried");
    let mut differences = String::new();
    for (operation, word) in expected {
        let ended = &found[operation];
        if !word.split('|').any(|word| word == ended) {
            writeln!(differences, "{operation}: {ended} instead of {word}").expect("a string");
        }
    }
    assert!(differences.is_empty(), "{fault:?}\n{differences}");
}
