//! The access log, in the W3C extended format that IIS writes, so that tools for IIS can read it.
//!
//! A thread of its own writes; requests hand it finished lines and never wait. If it cannot keep up, lines are dropped
//! and counted rather than downloads slowed. If the log was moved (by logrotate, say), a new file is begun at its
//! place, without a signal: the thread checks every second.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::model::clock::Clock;
use crate::model::metric;

const FIELDS: &str = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) \
                      sc-status sc-win32-status sc-bytes cs-bytes time-taken x-request-id";

/// The Windows error `ERROR_NETNAME_DELETED`.
const CLIENT_GONE: u8 = 64;

/// The most lines that may wait for the disk.
const QUEUE: usize = 65_536;

/// The longest time that a line stays in memory.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The data of a request's line. Times are in milliseconds, sizes of bodies in bytes.
pub struct Line<'a> {
    pub at: DateTime<Utc>,
    pub server: Option<SocketAddr>,
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub user: Option<&'a str>,
    pub client: Option<IpAddr>,
    pub agent: Option<&'a str>,
    pub status: u16,
    /// Set if the whole answer was handed to the client's connection. IIS writes 0 then, and 64
    /// (`ERROR_NETNAME_DELETED`) for a client that disconnected before.
    pub is_whole: bool,
    pub sent: u64,
    pub received: u64,
    pub milliseconds: u128,
    pub request_id: &'a str,
}

/// The longest time that the end of the program waits for the disk to take the last lines.
const LAST_LINES: Duration = Duration::from_secs(5);

/// The access log, which takes lines. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog(SyncSender<Entry>);

enum Entry {
    Line(String),
    /// Asks for a message once all earlier entries are in the file.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Opens the file for appending, and starts the thread that writes.
    pub fn open(path: &Path, clock: Clock) -> io::Result<Self> {
        let mut writer = Writer::open(path.to_owned(), clock)?;
        let (sender, receiver) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.write_all(&receiver))?;
        Ok(Self(sender))
    }

    pub fn write(&self, line: &Line<'_>) {
        if self.0.try_send(Entry::Line(line.to_string())).is_err() {
            count_lost();
        }
    }

    /// Waits until all lines written so far are in the file, because the thread ends with the program. Blocks for 5
    /// seconds at most.
    pub fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        if self.0.try_send(Entry::Flush(done)).is_err() || flushed.recv_timeout(LAST_LINES).is_err()
        {
            tracing::error!("the last lines of the access log were lost");
        }
    }
}

fn count_lost() {
    metric::ACCESS_LOG_LINES_DROPPED.increment(1);
}

/// The thread that writes the file.
struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    /// The error by which lines were lost since the last flush.
    trouble: Option<io::Error>,
    flushed: Instant,
    clock: Clock,
}

impl Writer {
    fn open(path: PathBuf, clock: Clock) -> io::Result<Self> {
        let mut file = BufWriter::new(File::options().create(true).append(true).open(&path)?);
        let started = clock.now().format("%Y-%m-%d %H:%M:%S");
        writeln!(file, "#Software: imagedepot {}\n#Version: 1.0", env!("CARGO_PKG_VERSION"))?;
        writeln!(file, "#Date: {started}\n#Fields: {FIELDS}")?;
        file.flush()?;
        Ok(Self { path, file, trouble: None, flushed: Instant::now(), clock })
    }

    fn write_all(&mut self, entries: &Receiver<Entry>) {
        loop {
            let result = if self.flushed.elapsed() >= FLUSH_EVERY {
                self.flush_and_follow()
            } else {
                match entries.recv_timeout(FLUSH_EVERY) {
                    Ok(Entry::Line(line)) => self.file.write_all(line.as_bytes()),
                    Ok(Entry::Flush(done)) => {
                        let flushed = self.file.flush();
                        let _nobody_waits = done.try_send(());
                        flushed
                    }
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            };
            if let Err(error) = result {
                count_lost();
                self.trouble = Some(error);
            }
        }
    }

    /// Writes the lines so far to the current file. If another file or none is at its path, the next lines go to a new
    /// file there.
    fn flush_and_follow(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        // Logged once a second, not for each request.
        if let Some(error) = self.trouble.take() {
            tracing::error!(%error, "the access log cannot be written; lines are lost");
        }
        self.file.flush()?;
        let ours = self.file.get_ref().metadata()?;
        let at_its_place =
            |there: std::fs::Metadata| (there.dev(), there.ino()) == (ours.dev(), ours.ino());
        if !std::fs::metadata(&self.path).is_ok_and(at_its_place) {
            *self = Self::open(self.path.clone(), self.clock.clone())?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ip =
            |address: Option<IpAddr>| address.map_or_else(|| "-".to_owned(), |a| a.to_string());
        let port = self.server.map_or(0, |address| address.port());
        writeln!(
            f,
            "{} {} {} {} {} {port} {} {} {} {} {} {} {} {} {}",
            self.at.format("%Y-%m-%d %H:%M:%S"),
            ip(self.server.map(|address| address.ip())),
            self.method,
            field(self.path),
            field(self.query),
            field(self.user.unwrap_or_default()),
            ip(self.client),
            field(self.agent.unwrap_or_default()),
            self.status,
            if self.is_whole { 0 } else { CLIENT_GONE },
            self.sent,
            self.received,
            self.milliseconds,
            field(self.request_id),
        )
    }
}

/// Formats a field without spaces and control characters; otherwise a client could forge lines.
fn field(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut field = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' => field.push('+'),
            c if c.is_control() => {
                let _infallible = write!(field, "%{:02X}", u32::from(c));
            }
            c => field.push(c),
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_forge_fields_or_lines() {
        assert_eq!(field("Microsoft BITS/7.8"), "Microsoft+BITS/7.8");
        assert_eq!(field("x\n2026 forged"), "x%0A2026+forged");
        assert_eq!(field(""), "-");
    }
}
