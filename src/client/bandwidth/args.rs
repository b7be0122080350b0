//! The limits of the line on a command line.

use std::num::NonZeroU64;

use bytesize::ByteSize;

use super::hours::Hours;
use super::limits::Bandwidth;
use super::pace::LineShare;

/// The arguments of commands that run for long, for `#[command(flatten)]`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Bandwidth")]
pub struct LineArgs {
    /// Most bytes to fetch in a second, such as 2MB
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    rate: Option<NonZeroU64>,

    /// Share of the line to fetch with, in percent of what it is found to give
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    share: Option<LineShare>,

    /// Hours in which bytes are fetched, such as "20:00-06:00" or "sat,sun 08:00-18:00"; may be repeated
    #[arg(long, value_name = "HOURS")]
    hours: Vec<Hours>,
}

impl LineArgs {
    pub const fn has_hours(&self) -> bool {
        !self.hours.is_empty()
    }

    /// Returns the limits: those of the command line, else those of a file.
    pub fn or(self, file: Bandwidth) -> Bandwidth {
        Bandwidth {
            rate: self.rate.or(file.rate),
            share: self.share.or(file.share),
            hours: if self.hours.is_empty() { file.hours } else { self.hours },
        }
    }
}

/// Reads a rate in bytes in a second, such as `2 MB`.
pub fn rate(text: &str) -> Result<NonZeroU64, String> {
    let wrong = |_| "it is bytes in a second, such as 2 MB".to_owned();
    let size: ByteSize = text.trim().trim_end_matches("/s").parse().map_err(wrong)?;
    NonZeroU64::new(size.as_u64()).ok_or_else(|| "it must be above 0".to_owned())
}

fn share(text: &str) -> Result<LineShare, String> {
    let percent = text.trim_end_matches('%').parse().ok().and_then(LineShare::percent);
    percent.ok_or_else(|| "it must be 1 to 99 percent".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_in_units_of_bytes() {
        for (text, bytes) in
            [("2MB", 2_000_000), ("1 MiB", 1 << 20), ("512", 512), ("1.5 kB/s", 1500)]
        {
            assert_eq!(rate(text).map(NonZeroU64::get), Ok(bytes), "{text}");
        }
        for text in ["0", "fast", "-1", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(share("30%"), share("30"));
        assert!(share("100").is_err() && share("0").is_err());
    }
}
