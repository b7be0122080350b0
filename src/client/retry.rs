//! Decides when to try again, and how long to wait before.
//!
//! A loop calls [`Attempts::next`] after each [`Setback`]: it either sleeps or returns the failure. The code that makes
//! the request decides what may be repeated at all, by the setback's kind.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::error::Failure;
use super::exit_code::Exit;

/// The longest wait that a server may ask for. Beyond it, the user is told when to come back.
const LONGEST_OBEYED: Duration = Duration::from_mins(5);

/// The number of tries, with pauses that double from `first` to `longest`.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub attempts: u32,
    pub first: Duration,
    pub longest: Duration,
}

impl Patience {
    /// The patience for a single API call: someone waits for the answer, so give up within seconds.
    pub const CALL: Self =
        Self { attempts: 5, first: Duration::from_millis(250), longest: Duration::from_secs(4) };

    /// The patience for a transfer of gigabytes: worth waiting for a server's restart, about a minute.
    pub const TRANSFER: Self =
        Self { attempts: 9, first: Duration::from_millis(250), longest: Duration::from_secs(16) };
}

/// The reason for which one attempt failed, and if another one may help.
#[derive(Debug)]
pub struct Setback {
    failure: Failure,
    again: Again,
}

#[derive(Debug, PartialEq, Eq)]
enum Again {
    Never,
    AfterPause,
    After(Duration),
}

impl Setback {
    /// Makes a setback after which another try would end the same way, or must not be made.
    pub fn lasting(failure: Failure) -> Self {
        Self { failure, again: Again::Never }
    }

    /// Makes a setback after which another try may well succeed.
    pub fn passing(failure: Failure) -> Self {
        Self { failure, again: Again::AfterPause }
    }

    /// Converts the failure of a call that made its own tries: an unreachable server may be back later, while
    /// everything else is a final answer.
    pub fn of_call(failure: Failure) -> Self {
        if failure.exit() == Exit::Unreachable {
            Self::passing(failure)
        } else {
            Self::lasting(failure)
        }
    }

    /// Converts an answer that is a refusal, or "not now".
    pub async fn answered(response: Response) -> Self {
        let again = match response.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                retry_after(response.headers(), SystemTime::now())
                    .map_or(Again::AfterPause, Again::After)
            }
            // A proxy answers like this while its server restarts.
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Again::AfterPause,
            _ => Again::Never,
        };
        Self { failure: Failure::answered(response).await, again }
    }
}

/// The tries made for one thing.
#[derive(Debug)]
pub struct Attempts {
    patience: Patience,
    failed: u32,
}

impl Attempts {
    pub const fn new(patience: Patience) -> Self {
        Self { patience, failed: 0 }
    }

    /// Waits until the next try is due. Returns the failure if there is to be none.
    pub async fn next(&mut self, setback: Setback) -> Result<(), Failure> {
        self.failed += 1;
        let pause = match setback.again {
            Again::Never => return Err(setback.failure),
            Again::AfterPause => shortened_at_random(self.pause()),
            Again::After(asked) if asked > LONGEST_OBEYED => {
                let hint = format!("the server asks to try again in {} s", asked.as_secs());
                return Err(setback.failure.with_hint(&hint).until(asked));
            }
            Again::After(asked) => asked,
        };
        if self.failed >= self.patience.attempts {
            return Err(setback.failure.with_hint(&format!("tried {} times", self.failed)));
        }
        tracing::warn!(reason = %setback.failure, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Resets the count after progress was made.
    pub const fn renew(&mut self) {
        self.failed = 0;
    }

    fn pause(&self) -> Duration {
        let doublings = self.failed.saturating_sub(1).min(16);
        self.patience.first.saturating_mul(1 << doublings).min(self.patience.longest)
    }
}

/// Returns between half and all of the pause, so that the many clients of a broken server do not come back in step.
fn shortened_at_random(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness, the full pause will do.
    if getrandom::fill(&mut byte).is_err() {
        return pause;
    }
    pause.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
}

/// Reads `Retry-After` in either form (RFC 9110 section 10.2.3); a date in the past means "now".
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))])
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let wait = |value| retry_after(&headers(value), now);
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:40 GMT"), Some(Duration::from_secs(3)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:30 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let patience = Patience {
            attempts: 9,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(5),
        };
        let seconds: Vec<u64> =
            (1..6).map(|failed| Attempts { patience, failed }.pause().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 5, 5]);
    }

    #[tokio::test]
    async fn a_server_that_asks_for_an_hour_is_not_waited_for() {
        let failure = Failure::new(Exit::Unreachable, "busy");
        let setback = Setback { failure, again: Again::After(Duration::from_hours(1)) };
        let given_up = Attempts::new(Patience::CALL).next(setback).await.unwrap_err();
        assert_eq!(given_up.to_string(), "busy; the server asks to try again in 3600 s");
    }

    #[tokio::test]
    async fn what_lasts_is_not_tried_again() {
        let setback = Setback::lasting(Failure::usage("no"));
        assert!(Attempts::new(Patience::TRANSFER).next(setback).await.is_err());
    }
}
