//! Names, numbers and cursors that cannot be, in bodies and in paths: the right problem document,
//! and no way out of the tree.

use serde_json::json;

use crate::harness::raw::{self, basic};
use crate::harness::{Database, Depot, on_both_databases};

on_both_databases![
    a_name_that_cannot_be_is_refused,
    a_name_that_cannot_be_is_not_found_in_a_path,
    no_path_leaves_the_tree,
    bad_cursors_and_limits_are_refused,
    a_path_that_is_none_is_not_found,
];

/// Names that no image, channel or client may have.
fn impossible_names() -> Vec<String> {
    let mut names = [
        "",
        ".",
        "..",
        "../x",
        "..\\x",
        "a/b",
        "a%2fb",
        "a\\b",
        "CON",
        "con",
        "nul.ckm",
        "COM1",
        "lpt9.x",
        "AUX",
        "PRN",
        "a.",
        "-a",
        "_a",
        ".a",
        " a",
        "a ",
        "a b",
        "a:b",
        "a*",
        "ä",
        "a\n",
        "a\0b",
        "\u{202e}gpj",
        "<a>",
        "a|b",
        "a\"b",
        "a?b",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(101));
    names.push("x".repeat(300));
    names
}

async fn a_name_that_cannot_be_is_refused(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for name in impossible_names() {
        let image = json!({"name": name, "kind": "medv"});
        let code = admin.post("/api/v1/images").json(&image).await.problem(422);
        assert!(!code.is_empty(), "{name:?}");
        let channel = json!({"name": name});
        admin.post("/api/v1/channels").json(&channel).await.problem(422);
        let user = json!({"name": "fine", "password": "long enough, too", "roles": [name]});
        admin.post("/api/v1/users").json(&user).await.problem(422);
    }
    let long_channel = json!({"name": "c".repeat(41)});
    admin.post("/api/v1/channels").json(&long_channel).await.problem(422);
    for extension in ["", "../x", "a/b", "a.", "x y", "ckm/"] {
        let image = json!({"name": "single", "kind": "single", "extension": extension});
        admin.post("/api/v1/images").json(&image).await.problem(422);
    }
    let list = admin.get("/api/v1/images").await.expecting(200).items();
    assert!(list.is_empty(), "{list:?}");
    assert_eq!(admin.get("/api/v1/channels").await.expecting(200).items().len(), 2);
    admin.create_image(&"x".repeat(100)).await;
}

async fn a_name_that_cannot_be_is_not_found_in_a_path(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    admin.draft("win7-office").await;
    let login = basic(&admin.name_and_password());
    let length = [("Authorization", login.as_str()), ("Content-Length", "3")];
    for name in ["..", "%2e%2e", "a%2fb", "..%2fx", "..%5cx", "CON", "a%00b", "%ff", "%zz", "a%20b"]
    {
        for path in [
            format!("/api/v1/images/{name}"),
            format!("/api/v1/images/{name}/revisions"),
            format!("/api/v1/images/win7-office/channels/{name}"),
        ] {
            let answer = raw::request(depot.server.port(), "GET", &path, &length[..1], b"").await;
            answer.problem_of(&[400, 404]);
        }
        for path in [
            format!("/api/v1/images/{name}/revisions/1/files/ckm"),
            format!("/api/v1/images/win7-office/revisions/{name}/files/ckm"),
            format!("/api/v1/images/win7-office/revisions/1/files/{name}"),
        ] {
            let answer = raw::request(depot.server.port(), "PUT", &path, &length, b"abc").await;
            answer.problem_of(&[400, 404, 422]);
        }
    }
    let long = "x".repeat(300);
    admin.get(&format!("/api/v1/images/{long}")).await.problem_of(&[404, 414]);
    for number in ["0", "-1", "1.5", "x", "99999999999999999999", "2"] {
        admin
            .get(&format!("/api/v1/images/win7-office/revisions/{number}"))
            .await
            .problem_of(&[400, 404]);
    }
    depot.comes_to_store(0).await;
}

async fn no_path_leaves_the_tree(database: Database) {
    let depot = Depot::start(database).await;
    depot.admin().published_image("win7-office", "test").await;
    let outside = depot.server.data().join("outside.txt");
    std::fs::write(&outside, "not for everyone").expect("write beside the tree");
    let deep = outside.display().to_string();
    for target in [
        "/MEDVImages/../outside.txt",
        "/MEDVImages/test/../../outside.txt",
        "/MEDVImages/..%2foutside.txt",
        "/MEDVImages/%2e%2e/outside.txt",
        "/MEDVImages/%2e%2e%2foutside.txt",
        "/MEDVImages/..%5coutside.txt",
        "/MEDVImages/..\\outside.txt",
        "/MEDVImages/test/..%252foutside.txt",
        "/MEDVImages//../outside.txt",
        "/MEDVImages/test/%00",
        "/MEDVImages/test/./win7-office_1.ckm/",
        "/MEDVImages/test%2fwin7-office_1.ckm%2f..%2f..%2f..%2foutside.txt",
        "/../outside.txt",
        &format!("/MEDVImages/{deep}"),
        &format!("/MEDVImages/%2f{deep}"),
    ] {
        let answer = raw::request(depot.server.port(), "GET", target, &[], b"").await;
        answer.problem_of(&[400, 404]);
    }
}

async fn bad_cursors_and_limits_are_refused(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.create_image("win7-office").await;
    for list in [
        "/api/v1/images",
        "/api/v1/images/win7-office/revisions",
        "/api/v1/images/win7-office/promotions",
        "/api/v1/channels",
        "/api/v1/users",
    ] {
        for query in [
            "limit=501",
            "limit=0",
            "limit=-1",
            "limit=x",
            "limit=99999999999999999999",
            "cursor=nonsense",
            "cursor=%00",
            "cursor=AAAA",
            "cursor=..%2f",
            "cursor=e30",
            "limit=5&limit=5&cursor='--",
        ] {
            admin.get(&format!("{list}?{query}")).await.problem(400);
        }
        admin.get(&format!("{list}?limit=500")).await.expecting(200);
    }
}

async fn a_path_that_is_none_is_not_found(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for path in
        ["/", "/nothing", "/api", "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v2/images"]
    {
        let answer = admin.get(path).await;
        if path != "/" || answer.status >= 400 {
            answer.problem(404);
        }
    }
    let long = format!("/api/v1/images/{}", "x".repeat(20_000));
    admin.get(&long).await.problem_of(&[404, 414]);
}
