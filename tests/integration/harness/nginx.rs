//! A real nginx, which keeps all its own files in one folder and goes with the test.

use std::path::Path;
use std::process::Command;

use super::command::guarded;

/// Settings around what is said inside of `http { … }`.
pub fn settings(folder: &Path, http: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
pid {folder}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http}
}}
"
    )
}

/// Starts it with the settings in `folder/settings`.
pub fn command(folder: &Path) -> Command {
    let mut command = guarded("nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(folder.join("settings"));
    command
}
