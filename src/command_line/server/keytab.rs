//! Shows the Kerberos library the server's keys.
//!
//! The library takes their place from the environment variable `KRB5_KTNAME`, while the settings name it. Setting a
//! variable of the running process is unsafe once there are threads, and this crate forbids unsafe code; the library's
//! function that takes a path is unsafe as well. So the program starts itself again with the variable set, before
//! anything is opened: same process id, same arguments. Rejected: asking administrators to set the variable beside the
//! setting, because the two places can differ.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::access::AuthenticationMethod;
use crate::config::Config;

const KEYTAB: &str = "KRB5_KTNAME";

/// The variables that say where used tokens are remembered; either one is enough.
const REPLAY_CACHES: [&str; 2] = ["KRB5RCACHENAME", "KRB5RCACHEDIR"];

/// Starts the program again with the keytab. Returns only if the environment is already right, or no keytab is needed.
pub fn start_again_with_keytab(config: &Config, data: &Path) -> anyhow::Result<()> {
    let offered = config
        .listener
        .iter()
        .any(|listener| listener.ways_in.contains(&AuthenticationMethod::Negotiate));
    let Some(keytab) = config.access.kerberos.keytab.as_ref().filter(|_| offered) else {
        return Ok(());
    };
    let keytab = std::path::absolute(keytab)?;
    let wanted = format!("FILE:{}", keytab.display());
    if std::env::var_os(KEYTAB).is_some_and(|set| set == *wanted) {
        return Ok(());
    }
    let program = std::env::current_exe().context("cannot determine the program's own path")?;
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    again.args(arguments).env(KEYTAB, &wanted);
    // The cache goes beside the catalog: in a folder for temporary files it may belong to anybody, or be lost with it.
    if REPLAY_CACHES.iter().all(|name| std::env::var_os(name).is_none()) {
        again.env("KRB5RCACHEDIR", std::path::absolute(data)?);
    }
    Err(again.exec()).context("cannot restart the program with KRB5_KTNAME set")
}
