//! The command line, one subcommand a job.

fn main() {}
