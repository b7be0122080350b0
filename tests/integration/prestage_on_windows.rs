//! The effect of a pre-staging kit on a client computer, tried with Wine's own `reg` and `cmd` and a parser of
//! PowerShell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::generated_clients::installed;
use crate::harness::actions::{ckm, index};
use crate::harness::command::run;
use crate::harness::wine::Wine;
use crate::harness::{Database, sample};
use crate::prestage::{depot_with_an_image, prestage};

#[tokio::test]
async fn windows_takes_the_registry_values_and_calls_icacls_with_the_rights() {
    let depot = depot_with_an_image(Database::Sqlite).await;
    let wine = Wine::start().await;
    let kit = depot.scratch().join("kit");
    let location = "C:\\Virtual Machines & Co (O'Neil, 1; x=y ^!)";
    prestage(&depot, &kit, &["--location", location]).await.successful();

    let keys = [("x86", "HKLM\\SOFTWARE\\Kidaro"), ("x64", "HKLM\\SOFTWARE\\WOW6432Node\\Kidaro")];
    let nothing = wine.run("", &["reg", "query", keys[1].1]).await;
    assert_ne!(nothing.code, 0, "{}", nothing.stdout);
    let script = Wine::path(&kit.join("prestage.cmd"));
    let ran = wine.run(",fixme+icacls", &["cmd", "/c", &script]).await;
    assert_ne!(ran.code, 0, "{}", ran.stdout);
    // Wine's certutil is a stub, too.
    assert!(ran.stderr.contains("prestage: FAILED: certutil.exe gave no digest"), "{}", ran.stderr);
    let images = format!("{location}\\MED-V Images");
    let grants = r#""/inheritance:r" "/grant:r" "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F" "*S-1-5-11:(OI)(CI)"#;
    for (folder, users) in [
        (images.clone(), "(RC,S,RD,AD,REA,RA)\""),
        (format!("{images}\\PrestagedImages"), "(RC,S,RD,REA,RA)\""),
    ] {
        let words = format!("\"{}\" {grants}{users}", folder.replace('\\', "\\\\"));
        assert!(ran.stderr.contains(&words), "{words}\n{}", ran.stderr);
    }
    let made = wine.disk().join(&location[3..]).join("MED-V Images/PrestagedImages");
    assert!(made.is_dir());
    assert_eq!(fs::read_dir(&made).expect("the folder").count(), 0, "nothing unchecked stays");
    let nothing = wine.run("", &["reg", "query", keys[1].1]).await;
    assert_ne!(nothing.code, 0, "the client is not told of files that are not there");

    for (kind, key) in keys {
        let file = Wine::path(&kit.join(format!("PrestagedImagesPath-{kind}.reg")));
        wine.run("", &["reg", "import", &file]).await.successful();
        let answer = wine.run("", &["reg", "query", key, "/v", "PrestagedImagesPath"]).await;
        let value = format!("REG_SZ    {images}\\PrestagedImages\r\n");
        assert!(answer.stdout.contains(&value), "{}", answer.stdout);
    }
}

/// The script with digests from a file in place of certutil's, which Wine only has as a stub; all else is as it is.
fn with_digests_from_files(kit: &Path) -> PathBuf {
    let script = fs::read_to_string(kit.join("prestage.cmd")).expect("the script");
    let line = script.lines().find(|line| line.starts_with("for /f \"skip=1")).expect("certutil");
    let instead = "for /f \"delims=\" %%H in ('type \"%FILE%.digest\"') do set \"FOUND=%%H\"";
    let place = kit.join("with-digests.cmd");
    fs::write(&place, script.replace(line, instead)).expect("write the script");
    place
}

#[tokio::test]
async fn the_script_puts_the_files_in_place_with_the_index_last() {
    let depot = depot_with_an_image(Database::Sqlite).await;
    let wine = Wine::start().await;
    let kit = depot.scratch().join("kit");
    prestage(&depot, &kit, &["--location", "C:\\Virtual Machines"]).await.successful();
    let script = Wine::path(&with_digests_from_files(&kit));
    let place = wine.disk().join("Virtual Machines/MED-V Images/PrestagedImages");
    fs::create_dir_all(&place).expect("a folder of somebody");
    let [image, listing] = ["win7-office_1.ckm", "win7-office_1.ckm.index"];
    let digest = |name: &str, of: &[u8]| {
        let digits = sample::digest(of).replace("sha256:", "");
        let spaced: Vec<_> = digits.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
        fs::write(place.join(format!("{name}.digest")), spaced.join(" ")).expect("a digest");
    };
    digest(&format!("{image}.part"), &ckm(1));
    digest(&format!("{listing}.part"), b"damaged on its way");
    let failed = wine.run("", &["cmd", "/c", &script]).await;
    assert_ne!(failed.code, 0);
    assert!(
        failed.stderr.contains("the copy of win7-office_1.ckm.index is not"),
        "{}",
        failed.stderr
    );
    assert!(place.join(image).exists() && !place.join(listing).exists());

    // Again: the image is right and stays, the index comes, the value is set.
    digest(image, &ckm(1));
    digest(&format!("{listing}.part"), &index(1));
    let done = wine.run("", &["cmd", "/c", &script]).await.successful();
    assert!(
        done.stdout.contains("VMSFOLDER=\"C:\\Virtual Machines\\MED-V Images\""),
        "{}",
        done.stdout
    );
    for (name, bytes) in [(image, ckm(1)), (listing, index(1))] {
        assert!(fs::read(place.join(name)).expect("in place") == bytes);
        let mode = fs::metadata(place.join(name)).expect("in place").permissions().mode();
        assert_eq!(mode & 0o222, 0, "{name} is read-only");
    }
    let key = "HKLM\\SOFTWARE\\WOW6432Node\\Kidaro";
    let value = wine.run("", &["reg", "query", key, "/v", "PrestagedImagesPath"]).await;
    assert!(value.stdout.contains("C:\\Virtual Machines\\MED-V Images\\PrestagedImages"));

    // An image that has suffered, and cannot be mended: nothing may say that it is there.
    digest(image, b"damaged in place");
    digest(&format!("{image}.part"), b"damaged on its way");
    let failed = wine.run("", &["cmd", "/c", &script]).await;
    assert!(failed.stderr.contains("the copy of win7-office_1.ckm is not"), "{}", failed.stderr);
    assert!(!place.join(listing).exists());
}

#[tokio::test]
async fn letters_beyond_ascii_come_through_or_are_refused() {
    let depot = depot_with_an_image(Database::Sqlite).await;
    let wine = Wine::start().await;
    let kit = depot.scratch().join("kit");
    let location = "C:\\Büro образы 图像";
    prestage(&depot, &kit, &["--location", location]).await.successful();
    let file = Wine::path(&kit.join("PrestagedImagesPath-x64.reg"));
    wine.run("", &["reg", "import", &file]).await.successful();
    // Printed, it would pass through the console's letters; a file has all of them.
    let (key, out) = ("HKLM\\SOFTWARE\\WOW6432Node\\Kidaro", depot.scratch().join("out.reg"));
    wine.run("", &["reg", "export", key, &Wine::path(&out), "/y"]).await.successful();
    let bytes = fs::read(&out).expect("what was exported");
    let units: Vec<_> =
        bytes.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let exported = String::from_utf16(&units).expect("UTF-16");
    let value = format!("{location}\\MED-V Images\\PrestagedImages").replace('\\', "\\\\");
    assert!(exported.contains(&format!("\"PrestagedImagesPath\"=\"{value}\"")), "{exported}");
    // A shell that does not change to UTF-8, as Wine's, would make a folder of another name.
    let script = Wine::path(&kit.join("prestage.cmd"));
    let ran = wine.run(",fixme+icacls", &["cmd", "/c", &script]).await;
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("does not read batch files in UTF-8"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("icacls"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_script_for_powershell_is_powershell() {
    let depot = depot_with_an_image(Database::Sqlite).await;
    let python = installed("IMAGEDEPOT_TEST_VENV", "venv", "bin/python");
    let parser = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/parse_powershell.py");
    for (number, location) in ["C:\\", "D:\\O'Neil’s $x `y` & Büro"].into_iter().enumerate() {
        let kit = depot.scratch().join(number.to_string());
        prestage(&depot, &kit, &["--location", location]).await.successful();
        let script = kit.join("prestage.ps1");
        let parse = |script: &Path| {
            let mut parse = Command::new(&python);
            parse.arg(parser).arg(script);
            run(parse)
        };
        parse(&script).await.successful();
        let broken = depot.scratch().join("broken.ps1");
        let text = fs::read_to_string(&script).expect("the script");
        fs::write(&broken, text.replacen('}', "", 1)).expect("a broken script");
        assert_eq!(parse(&broken).await.code, 1, "the parser finds what is missing");
    }
}
