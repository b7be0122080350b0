//! The arguments that all commands of daily work have.

use super::super::credentials::ServerArgs;
use super::super::output::Output;

/// The server to call, and the form of the result.
#[derive(Debug, Clone, clap::Args)]
pub struct CallArgs {
    /// Tables and sentences for people or JSON for scripts
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub server: ServerArgs,
}
