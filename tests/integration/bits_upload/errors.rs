//! Every row of the protocol's table of errors, and callers who look for more.

use serde_json::json;

use crate::harness::actions::ckm;
use crate::harness::bits_client::{
    ACCESS_DENIED, BitsClient, DISK_FULL, INVALID_ARGUMENT, SESSION_NOT_FOUND, TOO_LARGE,
    UPLOAD_PROTOCOL, borrowed, refused,
};
use crate::harness::{Database, Depot, on_both_databases};

use super::{IMAGE, holds};

on_both_databases![
    headers_that_cannot_be_right_are_refused,
    ranges_that_cannot_be_right_are_refused,
    odd_spelling_is_understood,
    only_plain_names_below_the_root_are_destinations,
    who_may_not_upload_is_told_so_in_the_protocol_s_form,
    a_session_is_its_owner_s_alone,
    what_does_not_fit_is_refused_with_its_code,
    what_does_not_fit_leaves_no_image,
    an_image_of_another_kind_is_no_destination,
];

async fn what_does_not_fit_leaves_no_image(database: Database) {
    let depot = Depot::on(database).setting("uploads", "image_quota", "1 MB").start().await;
    let mut client = BitsClient::new(&depot, &depot.admin(), "mistyped.ckm");
    for total in [2_000_000, 2 << 40, 1 << 59] {
        client.create().await.expecting(200);
        let refusal = client.fragment(0, b"abcd", total).await;
        assert!(refusal.status >= 400, "{total}");
        client.cancel().await;
    }
    depot.admin().get("/api/v1/images/mistyped").await.problem(404);
}

async fn headers_that_cannot_be_right_are_refused(database: Database) {
    let depot = Depot::start(database).await;
    let mut client = BitsClient::new(&depot, &depot.admin(), "win7-office.ckm");
    client.create().await.expecting(200);
    let session = client.session.clone().expect("a session");
    let long = "x".repeat(4097);
    let other = "{00000000-0000-0000-0000-000000000001}";
    let none = ("Content-Length", "0");
    let (create, close) =
        (("BITS-Packet-Type", "Create-Session"), ("BITS-Packet-Type", "Close-Session"));
    let id = ("BITS-Session-Id", session.as_str());
    let (protocol, long_id) = (("BITS-Supported-Protocols", UPLOAD_PROTOCOL), "x".repeat(101));
    for headers in [
        &[none][..],
        &[("BITS-Packet-Type", "Ack"), none],
        &[("BITS-Packet-Type", "Delete-Session"), id, none],
        &[("BITS-Packet-Type", "Ping"), ("BITS-Packet-Type", "Ping"), none],
        &[("BITS-Packet-Type", "Ping")],
        &[("BITS-Packet-Type", "Ping"), ("X-Whatever", &long), none],
        &[create, none],
        &[create, ("BITS-Supported-Protocols", other), none],
        &[create, ("BITS-Supported-Protocols", ""), none],
        &[create, protocol],
        &[close, none],
        &[close, ("BITS-Session-Id", ""), none],
        &[close, ("BITS-Session-Id", &long_id), none],
        &[close, id],
        &[close, id, id, none],
        &[("BITS-Packet-Type", "Cancel-Session"), none],
        &[("BITS-Packet-Type", "Fragment"), id, none],
        &[("BITS-Packet-Type", "Fragment"), id, ("Content-Range", "bytes 0-9/10")],
        &[("BITS-Packet-Type", "Fragment"), ("Content-Range", "bytes 0-9/10"), none],
    ] {
        let answer = client.send(headers, b"").await;
        refused(&answer, 400, INVALID_ARGUMENT);
    }
    // Nothing of that hurt the session.
    client.part(&ckm(1), 0..300_000).await.expecting(200);
}

async fn ranges_that_cannot_be_right_are_refused(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    client.part(&ckm(1), 0..10).await.expecting(200);
    let session = client.session.clone().expect("a session");
    for (range, length) in [
        ("bytes 10-19/*", 10),
        ("bytes */300000", 10),
        ("items 10-19/300000", 10),
        ("bytes=10-19/300000", 10),
        ("bytes 10-19", 10),
        ("bytes 19-10/300000", 10),
        ("bytes -10-19/300000", 10),
        ("bytes 10-19/19", 10),
        ("bytes 0-0/0", 1),
        // Not what Content-Length says.
        ("bytes 10-19/300000", 9),
        ("bytes 10-19/300000", 11),
        ("bytes 10-19/300000", 0),
        // Another size than before.
        ("bytes 10-19/300001", 10),
        ("bytes 10-19/20", 10),
        ("bytes 10-19/18446744073709551615", 10),
        ("bytes 10-19/99999999999999999999999", 10),
    ] {
        let length_text = length.to_string();
        let headers = [
            ("BITS-Packet-Type", "Fragment"),
            ("BITS-Session-Id", session.as_str()),
            ("Content-Range", range),
            ("Content-Length", &length_text),
        ];
        refused(&client.send(&headers, &vec![7; length]).await, 400, INVALID_ARGUMENT);
    }
    let coded = [
        ("BITS-Packet-Type", "Fragment"),
        ("BITS-Session-Id", session.as_str()),
        ("Content-Range", "bytes 10-19/300000"),
        ("Content-Encoding", "gzip"),
        ("Content-Length", "10"),
    ];
    refused(&client.send(&coded, &[7; 10]).await, 400, INVALID_ARGUMENT);
    client.part(&ckm(1), 10..300_000).await.expecting(200);
    holds(&admin, 1, "ckm", &ckm(1)).await;
}

async fn odd_spelling_is_understood(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let file = ckm(1);
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    let ninety_nine = "{00000000-0000-0000-0000-00000000000f} ".repeat(99);
    let protocols = ninety_nine + &UPLOAD_PROTOCOL.to_uppercase();
    let create = [
        ("bits-packet-TYPE", "cREATE-sESSION"),
        ("BITS-SUPPORTED-PROTOCOLS", protocols.as_str()),
        ("Content-Name", "win7-office.ckm"),
        ("X-Unknown", "is ignored"),
        ("CONTENT-LENGTH", "0"),
    ];
    let created = client.send(&create, b"").await.expecting(200);
    let session = created.required_header("bits-session-id").to_lowercase();
    // The target in absolute form; its host is none of the session's business.
    "http://another.name:8080/MEDVImages/win7-office.ckm".clone_into(&mut client.target);
    let fragment = [
        ("BITS-Packet-Type", "FRAGMENT"),
        ("BITS-Session-ID", session.as_str()),
        ("content-range", "Bytes   0-299999 / 300000"),
        ("Content-Encoding", "identity"),
        ("Content-Length", "300000"),
    ];
    client.send(&fragment, &file).await.expecting(200);
    let close = [
        ("Bits-Packet-Type", "close-session"),
        ("bits-session-id", session.as_str()),
        ("Content-Length", "0"),
    ];
    client.send(&close, b"").await.expecting(200);
    holds(&admin, 1, "ckm", &file).await;
}

async fn only_plain_names_below_the_root_are_destinations(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let mut client = BitsClient::new(&depot, &admin, "");
    let long = format!("/MEDVImages/{}.ckm", "x".repeat(300));
    for target in [
        "/MEDVImages",
        "/MEDVImages/",
        "/MEDVImages/test/",
        "/MEDVImages/test/win7.ckm",
        "/MEDVImages/../win7.ckm",
        "/MEDVImages/..%2fwin7.ckm",
        "/MEDVImages/..%5cwin7.ckm",
        "/MEDVImages/..\\win7.ckm",
        "/MEDVImages/%2e%2e/win7.ckm",
        "/MEDVImages/win7%2eckm",
        "/MEDVImages/win7%00.ckm",
        "/MEDVImages/win%207.ckm",
        "/MEDVImages/win7:stream.ckm",
        "/MEDVImages/..ckm",
        "/MEDVImages/.ckm",
        "/MEDVImages/.ckm.index",
        "/MEDVImages/.hidden.ckm",
        "/MEDVImages/con.ckm",
        "/MEDVImages/nul.txt.ckm.index",
        "/MEDVImages/win7.vhdx",
        "/MEDVImages/win7",
        "/MEDVImages/channel.json",
        "/MEDVImages/win7.ckm.chunks",
        "http://localhost/MEDVImages/a/b.ckm",
        long.as_str(),
    ] {
        target.clone_into(&mut client.target);
        let answer = client.create().await;
        refused(&answer, 400, INVALID_ARGUMENT);
    }
    assert!(admin.get("/api/v1/images").await.items().is_empty());
    // Outside of the tree the verb is unknown.
    for path in ["/api/v1/images", "/livez", "/"] {
        path.clone_into(&mut client.target);
        let ping = [("BITS-Packet-Type", "Ping"), ("Content-Length", "0")];
        let answer = client.try_send(&ping, b"").await.expect("an answer");
        answer.problem_of(&[404, 405]);
    }
    let wrong = admin.put("/MEDVImages/win7-office.ckm").body("x").await;
    assert_eq!(wrong.problem(405), "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("GET, HEAD, BITS_POST"));
}

async fn who_may_not_upload_is_told_so_in_the_protocol_s_form(database: Database) {
    let depot = Depot::start(database).await;
    let mut anonymous = BitsClient::anonymous(&depot, "win7-office.ckm");
    let challenged = anonymous.create().await.expecting(401);
    assert!(challenged.required_header("www-authenticate").starts_with("Basic "));
    assert!(challenged.header("bits-error").is_none(), "{challenged:?}");
    // Asked for before the packet is looked at, and with a body on its way.
    anonymous.session = Some("{00000000-0000-0000-0000-000000000001}".to_owned());
    anonymous.fragment(0, &vec![7; 5_000_000], 5_000_000).await.expecting(401);
    let wrong = depot.user("admin", "not the password");
    BitsClient::new(&depot, &wrong, "win7-office.ckm").create().await.expecting(401);
    for role in ["reader", "client", "promoter"] {
        let person = depot.user_with_role(role).await;
        let mut client = BitsClient::new(&depot, &person, "win7-office.ckm");
        refused(&client.create().await, 403, ACCESS_DENIED);
        refused(&client.ping().await, 403, ACCESS_DENIED);
        // What is no packet is that before it is forbidden.
        refused(&client.send(&[("Content-Length", "0")], b"").await, 400, INVALID_ARGUMENT);
    }
    let scoped = json!({
        "name": "scoped", "password": "correct horse", "roles": ["publisher"], "images": ["lab-*"]
    });
    depot.admin().post("/api/v1/users").json(&scoped).await.expecting(201);
    let scoped = depot.user("scoped", "correct horse");
    let elsewhere = BitsClient::new(&depot, &scoped, "win7-office.ckm").create().await;
    refused(&elsewhere, 403, ACCESS_DENIED);
    BitsClient::new(&depot, &scoped, "lab-1.ckm").upload(&ckm(1), 100_000).await;
    depot.admin().get("/api/v1/images/lab-1").await.expecting(200);
}

async fn a_session_is_its_owner_s_alone(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    let publisher = depot.user_with_role("publisher").await;
    let file = ckm(1);
    let mut client = BitsClient::new(&depot, &publisher, "win7-office.ckm");
    client.create().await.expecting(200);
    client.part(&file, 0..1000).await.expecting(200);
    // An administrator's session would be another one, and so is one under another name.
    let mut thief = BitsClient::new(&depot, &admin, "win7-office.ckm");
    thief.session.clone_from(&client.session);
    let mut elsewhere = client.twin();
    "/MEDVImages/another.ckm".clone_into(&mut elsewhere.target);
    for other in [&mut thief, &mut elsewhere] {
        refused(&other.part(&file, 1000..2000).await, 500, SESSION_NOT_FOUND);
        refused(&other.close().await, 500, SESSION_NOT_FOUND);
        refused(&other.cancel().await, 500, SESSION_NOT_FOUND);
    }
    // The id alone stands for nobody.
    let mut anonymous = BitsClient::anonymous(&depot, "win7-office.ckm");
    anonymous.session.clone_from(&client.session);
    anonymous.part(&file, 1000..2000).await.expecting(401);
    for unknown in ["{A0FF5911-4144-45B3-BF27-27AFC8EC8A67}", "another server's", "{x}"] {
        let mut guess = client.twin();
        guess.session = Some(unknown.to_owned());
        refused(&guess.part(&file, 1000..2000).await, 500, SESSION_NOT_FOUND);
        refused(&guess.close().await, 500, SESSION_NOT_FOUND);
    }
    client.part(&file, 1000..300_000).await.expecting(200);
    holds(&admin, 1, "ckm", &file).await;
}

async fn what_does_not_fit_is_refused_with_its_code(database: Database) {
    let depot = Depot::on(database).setting("uploads", "max_size", "4000000000000001");
    let depot = depot.start().await;
    let admin = depot.admin();
    let mut client = BitsClient::new(&depot, &admin, "win7-office.ckm");
    client.create().await.expecting(200);
    for (total, code) in [
        (4_000_000_000_000_002, TOO_LARGE),
        (u64::MAX, TOO_LARGE),
        (4_000_000_000_000_000, DISK_FULL),
    ] {
        let headers = client.fragment_headers(0, 10, total);
        refused(&client.send(&borrowed(&headers), &[7; 10]).await, 500, code);
    }
    depot.comes_to_store(0).await;
    // The session is free for a file that fits.
    client.part(&ckm(1), 0..300_000).await.expecting(200);
    holds(&admin, 1, "ckm", &ckm(1)).await;
}

async fn an_image_of_another_kind_is_no_destination(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_single_image(IMAGE, "vhdx").await;
    let answer = BitsClient::new(&depot, &admin, "win7-office.ckm").create().await;
    refused(&answer, 400, INVALID_ARGUMENT);
}
