//! Progress bars on a terminal's standard error: how much, how fast, how long still.
//!
//! There are none with `--output json`, and none if standard error is not a terminal: a log wants lines, not a bar that
//! is redrawn a thousand times.

use std::io::{self, IsTerminal as _};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::Output;
use super::terminal::plain;

/// The display of this command's progress.
#[derive(Debug, Clone)]
pub struct Progress {
    /// One bar below the other, because files are transferred in parallel.
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

    /// Returns a bar for the bytes of one file. It is removed with its last handle.
    pub fn file(&self, name: &str, size: u64) -> ProgressBar {
        match &self.bars {
            Some(bars) => bars
                .add(ProgressBar::new(size))
                .with_style(style())
                .with_prefix(plain(name).into_owned()),
            None => ProgressBar::hidden(),
        }
    }

    /// Returns a bar for a number of things that are done one after the other.
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

    /// Shows a note to the user above the bars, or writes it to standard error if there are none. Scripts read exit
    /// codes instead.
    pub fn note(&self, sentence: &str) {
        let line = format!("Note: {}", plain(sentence));
        // If this fails, nobody is reading any more.
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
