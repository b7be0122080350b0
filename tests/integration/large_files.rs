//! Images are large; memory and the time of a promotion do not grow with them.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::actions::file_path;
use crate::harness::command::{curl, run};
use crate::harness::{Database, Depot, is_long_run, on_both_databases, sample};

on_both_databases![a_large_file_comes_back_as_it_went_and_needs_little_memory];

const MEBIBYTE: u64 = 1 << 20;

async fn a_large_file_comes_back_as_it_went_and_needs_little_memory(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let size = if is_long_run() { 5 * 1024 * MEBIBYTE } else { 64 * MEBIBYTE };
    let image = depot.scratch().join("huge.vhdx");
    write_sample(&image, size);
    admin.create_single_image("huge", "vhdx").await;
    let draft = admin.draft("huge").await;

    let mut upload = curl();
    upload.args(["--user", &admin.name_and_password(), "-T"]).arg(&image);
    upload.arg(format!("{}{}", depot.server.url(), file_path("huge", draft, "image")));
    run(upload).await.successful();
    let digest = format!("sha256:{}", sha256sum(&image).await);
    let revision = admin.revision("huge", draft).await;
    assert_eq!(
        (&revision["files"][0]["digest"], &revision["files"][0]["size"]),
        (&digest.into(), &size.into())
    );
    admin.seal("huge", draft).await.expecting(200);

    // The median of several: one may meet a busy machine.
    let mut times = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        admin.promote("huge", "production", draft).await.expecting(200);
        times.push(started.elapsed());
    }
    times.sort_unstable();
    assert!(times[2] < Duration::from_millis(100), "promotions took {times:?}");

    let url = format!("{}/MEDVImages/huge_{draft}.vhdx", depot.server.url());
    let fetched = depot.scratch().join("fetched.vhdx");
    let mut whole = curl();
    whole.arg("--output").arg(&fetched).arg(&url);
    run(whole).await.successful();
    assert_eq!(sha256sum(&fetched).await, sha256sum(&image).await);

    // Past the first 4 GiB, where 32 bits end, when the file is that long.
    let first = size - 3 * MEBIBYTE;
    let mut range = curl();
    range.args(["--range", &format!("{first}-"), "--output"]).arg(&fetched).arg(&url);
    run(range).await.successful();
    let mut compare = Command::new("cmp");
    compare.args(["--ignore-initial", &format!("{first}:0")]).args([&image, &fetched]);
    run(compare).await.successful();

    // Eight slow readers at once: what waits to be sent is not kept in memory either.
    let downloads = (0..8).map(|_| {
        let mut slow = curl();
        slow.args(["--limit-rate", "40M", "--max-time", "2", "--output", "/dev/null"]).arg(&url);
        run(slow)
    });
    futures_util::future::join_all(downloads).await;
    let peak = depot.server.peak_memory();
    println!("{} MiB at most for a file of {} MiB", peak / MEBIBYTE, size / MEBIBYTE);
    assert!(peak < 200 * MEBIBYTE, "{} MiB", peak / MEBIBYTE);
}

/// Blocks that all differ, at the speed of the disk.
fn write_sample(path: &Path, size: u64) {
    let mut block = sample::bytes(size, usize::try_from(MEBIBYTE).expect("a mebibyte"));
    let mut file = BufWriter::new(File::create(path).expect("a large file"));
    for number in 0..size / MEBIBYTE {
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block).expect("write a large file");
    }
    file.flush().expect("write a large file");
}

async fn sha256sum(path: &Path) -> String {
    let mut command = Command::new("sha256sum");
    command.arg("--binary").arg(path);
    let line = run(command).await.successful().stdout;
    line.split(' ').next().expect("a digest").to_owned()
}
