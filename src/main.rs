//! The `imagedepot` binary: reads the command line and runs one subcommand.

use std::process::ExitCode;

use clap::Parser as _;
use imagedepot::command_line::CommandLine;

/// Requests make many small allocations of short life; a kept-alive update check costs an eighth
/// less with it than with the system's allocator.
#[cfg(feature = "server")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    CommandLine::parse().run()
}
