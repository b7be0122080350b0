//! Lists of images and of changes, with conditions.

use serde_json::{Value, json};

use crate::daily_work::answered;
use crate::harness::{Database, Depot, Person, on_both_databases};

on_both_databases![
    images_are_found_by_name_kind_label_and_channel,
    conditions_that_are_wrong_are_refused,
    changes_are_found_by_caller_subject_action_and_time,
];

/// The names of the images in a list, in its order.
async fn names(person: &Person, query: &str) -> Vec<String> {
    let items = person.get(&format!("/api/v1/images?{query}")).await.expecting(200).items();
    items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
}

async fn images_are_found_by_name_kind_label_and_channel(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for (name, kind, labels) in [
        ("win7-lab", "single", json!({"owner": "kim", "os": "a:b"})),
        ("Win7-office", "medv", json!({"owner": "kim"})),
        ("linux_x", "single", json!({"owner": "kim lee", "empty": ""})),
        ("linuxax", "single", json!({})),
    ] {
        let image = json!({"name": name, "kind": kind, "labels": labels});
        admin.post("/api/v1/images").json(&image).await.expecting(201);
    }
    admin.published_image("linux-server", "production").await;
    admin.published_image("linux-lab", "test").await;

    for (query, expected) in [
        ("name=win7-*", vec!["win7-lab", "Win7-office"]),
        ("name=WIN7-OFFICE", vec!["Win7-office"]),
        ("name=linux_x", vec!["linux_x"]),
        ("name=*x*-*r*", vec!["linux-server"]),
        ("name=nothing", vec![]),
        ("kind=single", vec!["linux_x", "linuxax", "win7-lab"]),
        ("label=owner:kim", vec!["win7-lab", "Win7-office"]),
        ("label=owner:kim&label=os:a:b", vec!["win7-lab"]),
        ("label=owner%3Akim+lee", vec!["linux_x"]),
        ("label=empty:", vec!["linux_x"]),
        ("label=owner:kim&kind=medv", vec!["Win7-office"]),
        ("channel=production", vec!["linux-server"]),
        ("channel=TEST", vec!["linux-lab"]),
        ("channel=test&kind=single", vec![]),
    ] {
        let found = names(&admin, query).await;
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(sorted(found), sorted(expected), "{query}");
    }

    // Pages hold what the conditions cover, and the link repeats them.
    let first = admin.get("/api/v1/images?kind=single&limit=2").await.expecting(200);
    let next = first.json()["next_cursor"].as_str().expect("a further page").to_owned();
    let link = first.header("link").expect("a link").to_owned();
    assert!(link.contains("kind=single&limit=2&cursor="), "{link}");
    assert_eq!(names(&admin, &format!("kind=single&limit=2&cursor={next}")).await, ["win7-lab"]);

    // What was withdrawn is not assigned any more.
    admin.delete("/api/v1/images/linux-lab/channels/test").await.expecting(200);
    assert!(names(&admin, "channel=test").await.is_empty());

    let list = "image list --label owner=kim --kind medv --name win*";
    let items = answered(&depot, list).await["items"].clone();
    assert_eq!(items[0]["name"], "Win7-office");
    assert_eq!(items.as_array().map(Vec::len), Some(1));
}

async fn conditions_that_are_wrong_are_refused(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    for (path, word) in [
        ("images?kind=floppy", "floppy"),
        ("images?label=owner", "key:value"),
        ("images?label=:x", "key:value"),
        ("images?name=a%2Fb", "letters"),
        ("images?name=", "letters"),
        ("images?channel=no..way%00", "channel"),
        ("audit?since=yesterday", "invalid"),
        ("audit?caller=a%00b", "NUL"),
        ("audit?action=%00", "NUL"),
    ] {
        let refused = admin.get(&format!("/api/v1/{path}")).await.expecting(400);
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains(word), "{path}: {detail}");
    }
    let many = vec!["label=a:b"; 21].join("&");
    admin.get(&format!("/api/v1/images?{many}")).await.problem(400);
    admin.get("/api/v1/images?channel=no-such").await.problem(404);
}

async fn changes_are_found_by_caller_subject_action_and_time(database: Database) {
    let depot = Depot::start(database).await;
    let admin = depot.admin();
    admin.published_image("win7-office", "production").await;
    admin.published_image("win7-office-2", "test").await;
    let publisher = depot.user_with_role("publisher").await;
    publisher.create_image("my_image").await;
    let all = admin.get("/api/v1/audit?limit=500").await.items();
    let found = async |query: &str| {
        admin.get(&format!("/api/v1/audit?limit=500&{query}")).await.expecting(200).items()
    };
    let those = |meant: &dyn Fn(&str, &Value) -> bool| -> Vec<Value> {
        let is_meant = |row: &&Value| meant(row["subject"].as_str().unwrap_or_default(), row);
        all.iter().filter(is_meant).cloned().collect()
    };

    let office = those(&|subject, _| {
        subject == "images/win7-office" || subject.starts_with("images/win7-office/")
    });
    assert!(office.len() > 3, "{office:?}");
    for subject in ["images/win7-office", "images/WIN7-office/"] {
        assert_eq!(found(&format!("subject={subject}")).await, office);
    }
    assert!(found("subject=images/my%25").await.is_empty(), "only paths, no patterns");
    let promoted = those(&|_, row| row["action"] == "channel.promote");
    assert_eq!(promoted.len(), 2);
    assert_eq!(found("action=channel.promote").await, promoted);
    let creations = those(&|_, row| row["action"].as_str().unwrap_or("").ends_with(".create"));
    assert_eq!(found("action=*.create").await, creations);
    let theirs = found("caller=publisher").await;
    assert_eq!(theirs, those(&|_, row| row["caller"] == "publisher"));
    assert_eq!(found("caller=publisher&action=image.create").await.len(), 1);
    assert!(found("caller=publisher&subject=images/win7-office").await.is_empty());

    // `since` covers its own moment, `until` does not.
    let moment = theirs[0]["at"].as_str().expect("a time");
    let since = found(&format!("since={moment}")).await;
    let until = found(&format!("until={moment}")).await;
    assert_eq!((since.len() + until.len(), since.last()), (all.len(), theirs.first()));
    assert_eq!(found(&format!("since={moment}&until={moment}")).await, Vec::<Value>::new());

    // The command has the same conditions.
    let list = "audit list --caller publisher --action image.* --since 1h";
    assert_eq!(answered(&depot, list).await["items"], json!(theirs));
}
