//! `imagedepot serve`: runs the server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::Failure;
use crate::client::folder::folder;
use crate::client::output::say;
use crate::config::{Config, DEFAULT_DATA, Listener};
use crate::server::{self, Bound};
use crate::telemetry;

/// The arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Data folder; contains everything for which the settings name no other place
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_parser = folder())]
    data: PathBuf,
    /// Address and port of a plain HTTP listener, in addition to those of the settings [default: 127.0.0.1:8080 if they
    /// have none]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Let the --listen listener accept passwords without TLS from other machines, too
    #[arg(long, requires = "listen")]
    allow_plain_passwords: bool,
}

pub async fn run(args: ServeArgs, file: Option<&Path>) -> anyhow::Result<()> {
    let listen = args.listen.map(|address| Listener {
        allow_plain_passwords: args.allow_plain_passwords,
        ..Listener::plain(address)
    });
    let config = Config::read(file)?.complete(&args.data, listen.clone())?;
    #[cfg(feature = "negotiate")]
    super::keytab::start_again_with_keytab(&config, &args.data)?;
    telemetry::start_logging(&config.log)?;
    let bound = server::bind(config, &args.data).await?;
    announce_admin(&bound, &passwd_command(&args.data, file))?;
    let (file, data) = (file.map(Path::to_owned), args.data);
    let reread = move || Config::read(file.as_deref())?.complete(&data, listen.clone());
    bound.serve(stop_signal()?, Some(Box::new(reread))).await?;
    Ok(())
}

/// Prints the first administrator's password. It is not logged, because others keep and read the log.
fn announce_admin(bound: &Bound, passwd: &str) -> Result<(), Failure> {
    if let Some(admin) = &bound.opened().first_admin
        && let Some(file) = &admin.file
    {
        say(&format!(
            "first start: the user admin has the password {}\nthe password is also in {} until you delete that file; \
             `{passwd}` sets another",
            admin.password.expose_secret(),
            file.display()
        ))?;
    }
    Ok(())
}

/// Returns the command that sets another password, in a form that works from every folder. Without the data folder it
/// would not find the catalog.
fn passwd_command(data: &Path, file: Option<&Path>) -> String {
    let mut command = "imagedepot user passwd admin".to_owned();
    for (flag, path) in [("--data", Some(data)), ("--config", file)] {
        if let Some(path) = path {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            command = format!("{command} {flag} {}", quoted(&path.display().to_string()));
        }
    }
    command
}

/// Quotes a text for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:,@%".contains(c);
    if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Returns a future that waits for SIGTERM, as service managers send it, or Ctrl-C. A second signal then ends the
/// process at once.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut signalled = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(async move {
        signalled().await;
        tracing::info!("stopping: waiting for downloads and uploads under way");
        tokio::spawn(async move {
            signalled().await;
            tracing::warn!(
                "second signal: exiting at once, without waiting for requests under way"
            );
            std::process::exit(1);
        });
    })
}
