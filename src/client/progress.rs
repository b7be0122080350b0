//! Progress bars on a terminal's standard error: how much, how fast, how long still.
//!
//! None with `--output json`, and none when standard error is no terminal: a log wants lines, not
//! a bar redrawn a thousand times.

use std::io::{self, IsTerminal as _};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::Output;
use super::terminal::plain;

/// Where this command shows how far it is.
#[derive(Debug, Clone)]
pub struct Progress {
    /// One below the other, as files travel side by side.
    bars: Option<MultiProgress>,
}

impl Progress {
    pub fn for_output(output: Output) -> Self {
        let visible = output == Output::Text && io::stderr().is_terminal();
        Self { bars: visible.then(MultiProgress::new) }
    }

    #[cfg(test)]
    pub const fn hidden() -> Self {
        Self { bars: None }
    }

    /// A bar for the bytes of one file. It goes with its last handle.
    pub fn file(&self, name: &str, size: u64) -> ProgressBar {
        match &self.bars {
            Some(bars) => bars
                .add(ProgressBar::new(size))
                .with_style(style())
                .with_prefix(plain(name).into_owned()),
            None => ProgressBar::hidden(),
        }
    }

    /// A bar for so many things that are done one after the other.
    #[cfg(feature = "server")]
    pub fn count(&self, things: &'static str, number: u64) -> ProgressBar {
        let style = ProgressStyle::with_template("[{bar:30}] {pos} of {len} {prefix}, {eta} left");
        match (&self.bars, style) {
            (Some(bars), Ok(style)) => bars
                .add(ProgressBar::new(number))
                .with_style(style.progress_chars("=> "))
                .with_prefix(things),
            _ => ProgressBar::hidden(),
        }
    }

    /// A word to the person, above the bars; into the log where nobody watches. Scripts read exit
    /// codes instead.
    pub fn note(&self, sentence: &str) {
        let line = format!("Note: {}", plain(sentence));
        // Nobody reads along any more if this fails.
        let _ = match &self.bars {
            Some(bars) => bars.println(line),
            None => io::Write::write_fmt(&mut io::stderr(), format_args!("{line}\n")),
        };
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left {msg}",
    )
    .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> "))
}
