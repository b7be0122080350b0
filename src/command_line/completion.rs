//! `imagedepot completion`: the script with which a shell completes the commands and flags of this program.

use clap_complete::{Shell, generate};

use crate::client::Failure;
use crate::client::output::Stream;

const LONG_ABOUT: &str = "\
Print the completion script of a shell

For bash: imagedepot completion bash > /etc/bash_completion.d/imagedepot
For zsh:  imagedepot completion zsh > /usr/share/zsh/site-functions/_imagedepot
For fish: imagedepot completion fish > ~/.config/fish/completions/imagedepot.fish";

/// The arguments of `completion`.
#[derive(Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub struct Args {
    /// Shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script for these commands to standard output.
pub fn run(args: &Args, mut commands: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    let name = commands.get_name().to_owned();
    generate(args.shell, &mut commands, name, &mut script);
    let mut output = Stream::begin();
    // A reader that has gone has what it wanted.
    let _is_read = output.write(&script)?;
    output.end()
}
