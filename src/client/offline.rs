//! `imagedepot trust keygen` and `trust sign`: the keys of signed metadata that are kept away from the server, and what is
//! carried to them. They need no server and no network. The other commands of `trust` work on the catalog.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use secrecy::zeroize::Zeroizing;
use serde_json::json;

use super::error::Failure;
use super::exit_code::Exit;
use super::output::Output;
use super::secret_file;
use crate::file_system;
use crate::trust::carried::{Carried, Trouble};
use crate::trust::key_file::{public_pem, read_secret, secret_pem};
use crate::trust::{KeyPair, PublicKey};

/// The largest size of a carried file and of a key, in bytes.
const LARGEST_FILE: u64 = 256 << 20;
const LARGEST_KEY: u64 = 64 << 10;

/// The arguments of `trust` in the client's build.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sentences for people or JSON for scripts
    #[arg(long, global = true, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a key that is kept away from the server; works on any machine
    Keygen {
        /// File of the secret half (PEM; created, never replaced; only its owner can read it). The public half is written
        /// beside it, with `.pub` behind the name
        #[arg(long, value_name = "KEY")]
        out: PathBuf,
    },
    /// Show what a file asks to be signed, and sign it with the keys that are named; works on any machine
    Sign {
        /// File that `init`, `rotate --out` or `pending` has written; the signatures are added to it
        file: PathBuf,
        /// File of a key to sign with; may be given several times. Without one, the file is only shown
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<PathBuf>,
    },
}

pub fn run(args: Args) -> Result<(), Failure> {
    let output = args.output;
    output.unless_failed(act(args.action, output))
}

/// Does what needs no catalog.
pub fn act(action: Action, output: Output) -> Result<(), Failure> {
    match action {
        Action::Keygen { out } => generate(&out, output),
        Action::Sign { file, keys } => sign(&file, &keys, output),
    }
}

fn generate(out: &Path, output: Output) -> Result<(), Failure> {
    let key = KeyPair::generate().and_then(|key| Ok((secret_pem(&key)?, key)));
    let (secret, key) = key.map_err(|error| Failure::new(Exit::Other, error.to_string()))?;
    let public = public_name(out);
    let halves = [out, public.as_path()];
    if let Some(there) = halves.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        let message = format!("{} exists already: a key is never replaced", there.display());
        return Err(Failure::new(Exit::Conflict, message));
    }
    let file = secret_file::create(out)?;
    let written =
        secret_file::write(file, out, &secret).and_then(|()| write_public(&public, key.public()));
    if written.is_err() {
        secret_file::take_away(out);
    }
    written?;
    let said = format!(
        "the secret half is in {}: keep it away from the server, with a copy in another place\n\
         the public half is in {}\n\
         key {}\npublic {}",
        out.display(),
        public.display(),
        key.id(),
        key.public().to_hex()
    );
    let document = json!({"key_file": out, "public_file": public, "key": key.id(), "public": key.public().to_hex()});
    output.result(&said, &document)
}

fn public_name(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn write_public(path: &Path, key: &PublicKey) -> Result<(), Failure> {
    let write = || {
        let mut file = File::create_new(path)?;
        writeln!(file, "{}", public_pem(key))?;
        file.sync_all()
    };
    write().map_err(|error: io::Error| Failure::local("write", path, &error))
}

fn sign(path: &Path, keys: &[PathBuf], output: Output) -> Result<(), Failure> {
    let mut carried = read(path)?;
    let keys = keys.iter().map(|path| read_key(path)).collect::<Result<Vec<_>, _>>()?;
    for key in &keys {
        carried.sign(key).map_err(|trouble| refused(&trouble))?;
    }
    if !keys.is_empty() {
        replace(path, &carried.to_bytes().map_err(|trouble| refused(&trouble))?)?;
    }
    let summary = carried.summary();
    let mut lines = summary.lines();
    let signed = keys.iter().map(|key| format!("signed with the key {}", key.id()));
    lines.extend(signed);
    let missing = summary.signatures.iter().any(|signatures| signatures.missing > 0);
    if !missing {
        lines.push(
            "all signatures are there: `imagedepot trust import` on the server takes it".to_owned(),
        );
    }
    let mut document = serde_json::to_value(&summary)
        .map_err(|error| Failure::new(Exit::Other, error.to_string()))?;
    document["complete"] = (!missing).into();
    output.result(&lines.join("\n"), &document)
}

/// Reads a carried file.
pub fn read(path: &Path) -> Result<Carried, Failure> {
    let bytes = read_at_most(path, LARGEST_FILE)?;
    Carried::read(&bytes)
        .map_err(|trouble| refused(&trouble).while_doing(&path.display().to_string()))
}

/// Returns the failure that corresponds to a refusal of a carried file.
pub fn refused(trouble: &Trouble) -> Failure {
    let exit = match trouble {
        Trouble::NotAsked(_) => Exit::Usage,
        Trouble::NotCarried | Trouble::Changed(_) | Trouble::TooFew(_) | Trouble::OtherCopy => {
            Exit::Verification
        }
    };
    Failure::new(exit, trouble.to_string())
}

fn read_key(path: &Path) -> Result<KeyPair, Failure> {
    let bytes = Zeroizing::new(read_at_most(path, LARGEST_KEY)?);
    read_secret(&bytes).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let read = || {
        let mut bytes = Vec::new();
        file_system::open_named(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error: io::Error| Failure::local("read", path, &error))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::usage(format!("{} is larger than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

/// Writes a carried file that is not there yet.
pub fn write_new(path: &Path, carried: &Carried) -> Result<(), Failure> {
    let bytes = carried.to_bytes().map_err(|trouble| refused(&trouble))?;
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    write().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::Conflict, format!("{} exists already", path.display()))
        }
        _ => Failure::local("write", path, &error),
    })
}

/// Replaces a carried file as a whole: after a power failure it is the one before, or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let write = || {
        let mut options = File::options();
        let mut file = options.write(true).create(true).truncate(true).mode(0o644).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    write().map_err(|error: io::Error| Failure::local("write", path, &error))
}
