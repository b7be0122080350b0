//! Progress bars on a terminal's standard error: how much, how fast, how long still.
//!
//! None with `--output json`, and none when standard error is no terminal: a log wants lines, not
//! a bar redrawn a thousand times.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

/// Whether this command shows bars.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    visible: bool,
}

impl Progress {
    pub fn for_output(output: Output) -> Self {
        Self { visible: output == Output::Text && io::stderr().is_terminal() }
    }

    #[cfg(test)]
    pub const fn hidden() -> Self {
        Self { visible: false }
    }

    /// A bar for the bytes of one file. It goes with its last handle.
    pub fn file(self, name: &str, size: u64) -> ProgressBar {
        if !self.visible {
            return ProgressBar::hidden();
        }
        ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr())
            .with_style(style())
            .with_prefix(name.to_owned())
    }

    /// A word of warning to the person, above the bars; scripts read exit codes instead.
    pub fn warn(self, sentence: &str) {
        tracing::warn!("{sentence}");
        if self.visible {
            // Nobody reads along any more if this fails.
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("Note: {sentence}\n"));
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left {msg}",
    )
    .map_or_else(|_| ProgressStyle::default_bar(), |style| style.progress_chars("=> "))
}
