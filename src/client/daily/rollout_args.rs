//! The rollout of a promotion on the command line: its usual fields as flags, or the whole of it as JSON.

use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use serde_json::{Map, Number, Value};

use super::super::error::Failure;
use super::change::Change;
use super::moment::Moment;
use crate::model::text_file::text_of;

/// The flags of a rollout.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RolloutArgs {
    /// Share of the clients that are offered the revision, from 0 to 100 in steps of 0.01
    #[arg(long, value_name = "PERCENT", help_heading = HEADING)]
    percent: Option<Percent>,
    /// Offer it from this time on, or after this duration
    #[arg(long, value_name = "TIME", value_parser = Moment::ahead, help_heading = HEADING)]
    start: Option<Moment>,
    /// Client that is offered it first, or a pattern with *; may be given several times
    #[arg(long = "canary", value_name = "CLIENT", help_heading = HEADING)]
    canaries: Vec<String>,
    /// The whole rollout as JSON, or a file that contains it (- for standard input): steps, windows, halt and all
    /// others
    #[arg(
        long,
        value_name = "FILE|JSON",
        conflicts_with_all = ["percent", "start", "canaries"],
        help_heading = HEADING
    )]
    rollout: Option<String>,
}

const HEADING: &str = "Rollout";

/// A share of the clients, in percent.
#[derive(Debug, Clone, PartialEq)]
pub struct Percent(Number);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('%');
        let fits = text.parse::<f64>().is_ok_and(|percent| (0.0..=100.0).contains(&percent));
        let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let is_plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        if !(fits && is_plain && decimals <= 2) {
            return Err("expected a number from 0 to 100 with at most two decimals".to_owned());
        }
        let whole = text.parse::<u64>().ok().map(Number::from);
        let number = whole.or_else(|| text.parse().ok().and_then(Number::from_f64));
        number.map(Self).ok_or_else(|| "expected a number".to_owned())
    }
}

impl RolloutArgs {
    /// Returns the arguments of `--rollout` with this value.
    #[cfg(test)]
    pub fn of(rollout: &str) -> Self {
        Self { rollout: Some(rollout.to_owned()), ..Self::default() }
    }

    /// Returns the fields that are given. Fails if the file cannot be read, or is not the JSON of an object.
    pub fn fields(&self) -> Result<Map<String, Value>, Failure> {
        if let Some(text) = &self.rollout {
            return whole(text);
        }
        let canaries = (!self.canaries.is_empty()).then(|| self.canaries.clone());
        Ok(Change::default()
            .with("percent", self.percent.as_ref().map(|percent| percent.0.clone()))
            .with("start", self.start.as_ref())
            .with("canaries", canaries)
            .into_fields())
    }

    /// Returns the rollout, or none if no field is given.
    pub fn document(&self) -> Result<Option<Value>, Failure> {
        let fields = self.fields()?;
        Ok((!fields.is_empty()).then_some(Value::Object(fields)))
    }
}

fn whole(text: &str) -> Result<Map<String, Value>, Failure> {
    let (json, place) = if text.trim_start().starts_with('{') {
        (text.to_owned(), "--rollout")
    } else {
        (read(text)?, text)
    };
    match serde_json::from_str(&json) {
        // Some write the whole body of a promotion into such a file.
        Ok(Value::Object(mut fields)) => match fields.remove("rollout") {
            Some(Value::Object(rollout)) if fields.is_empty() => Ok(rollout),
            Some(_) => {
                Err(Failure::usage(format!("{place}: give the rollout's own fields as one object")))
            }
            None => Ok(fields),
        },
        Ok(_) => Err(Failure::usage(format!("{place}: the rollout must be a JSON object"))),
        Err(error) => Err(Failure::usage(format!("{place} is not JSON: {error}"))),
    }
}

fn read(file: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let path = Path::new(file);
    let read = if file == "-" {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut opened| opened.read_to_end(&mut bytes))
    };
    read.and_then(|_| text_of(bytes)).map_err(|error| Failure::local("read", path, &error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_share_is_a_percentage_in_steps_of_a_hundredth() {
        for (text, number) in [("0", json!(0)), ("25%", json!(25)), ("0.25", json!(0.25))] {
            assert_eq!(Value::from(text.parse::<Percent>().unwrap().0), number, "{text}");
        }
        for text in ["-1", "101", "0.001", "", "1e1", "NaN", "inf"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_whole_rollout_comes_from_the_line_or_from_a_file() {
        let rollout = json!({"steps": [{"percent": 5}, {"percent": 100, "after": "72h"}]});
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("\u{feff}{{\"rollout\": {rollout}}}")).unwrap();
        let path = file.path().to_str().unwrap();
        for text in [&rollout.to_string(), path] {
            let args = RolloutArgs::of(text);
            assert_eq!(args.document().unwrap(), Some(rollout.clone()));
        }
        assert_eq!(RolloutArgs::default().document().unwrap(), None);
        for (text, exit) in [("/no/such/file", 8), ("{", 2)] {
            let args = RolloutArgs::of(text);
            assert_eq!(u8::from(args.document().unwrap_err().exit()), exit, "{text}");
        }
    }
}
