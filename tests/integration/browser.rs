//! The answers for browsers: headers that protect, and pages of other origins.

use crate::harness::command::{imagedepot, run};
use crate::harness::{Answer, Database, Depot};

const DASHBOARD: &str = "https://dash.example.com";

#[tokio::test]
async fn no_answer_lets_a_browser_guess_its_type_and_pages_are_not_framed() {
    let depot = Depot::start(Database::Sqlite).await;
    let (admin, anyone) = (depot.admin(), depot.anonymous());
    admin.published_image("win7-office", "production").await;
    let check = "/api/v1/update-check?image=win7-office&client=pc-1";
    for path in [
        "/livez",
        check,
        "/MEDVImages/win7-office_1.ckm",
        "/MEDVImages/channel.json",
        "/api/v1/images",
        "/api/v1/no-such-thing",
        "/api/openapi.json",
        "/docs/",
        "/docs/problems",
        "/docs/swagger-ui-bundle.js",
    ] {
        let answer = anyone.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let is_page =
            answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        assert_eq!(is_page, ["/docs/", "/docs/problems"].contains(&path), "{path}");
        let policy = answer.header("content-security-policy");
        assert_eq!(policy.is_some(), is_page, "{path}: pages alone need one");
        if let Some(policy) = policy {
            for part in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"] {
                assert!(policy.contains(part), "{path}: {policy}");
            }
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        }
    }
}

async fn preflight(depot: &Depot, origin: &str, method: &str, headers: &str) -> Answer {
    let path = "/api/v1/images/win7-office";
    let mut call = depot.anonymous().call(&reqwest::Method::OPTIONS, path);
    call = call.header("Origin", origin).header("Access-Control-Request-Method", method);
    if !headers.is_empty() {
        call = call.header("Access-Control-Request-Headers", headers);
    }
    call.await
}

fn mentions(answer: &Answer, header: &str, value: &str) -> bool {
    let values = answer.header(header).unwrap_or_default().split(',');
    values.map(str::trim).any(|each| each.eq_ignore_ascii_case(value))
}

#[tokio::test]
async fn pages_of_named_origins_may_call_the_api() {
    let settings = format!("[access]\ncors = [\"{DASHBOARD}\", \"http://localhost:3000\"]\n");
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    depot.admin().create_image("win7-office").await;
    for origin in [DASHBOARD, "http://localhost:3000"] {
        let asked =
            "authorization,content-type,if-match,idempotency-key,upload-offset,tus-resumable";
        let allowed = preflight(&depot, origin, "PATCH", asked).await.expecting(200);
        assert_eq!(allowed.header("access-control-allow-origin"), Some(origin));
        assert!(mentions(&allowed, "access-control-allow-methods", "PATCH"));
        assert!(mentions(&allowed, "access-control-allow-headers", "authorization"));
        assert!(allowed.header("access-control-max-age").is_some());
        assert!(allowed.header("access-control-allow-credentials").is_none(), "no cookies here");
        assert!(mentions(&allowed, "vary", "Origin"), "{:?}", allowed.headers);
        // The call itself, refused or not: a page must be able to read why.
        let path = "/api/v1/images/win7-office";
        let called = depot.admin().get(path).header("Origin", origin).await.expecting(200);
        let refused = depot.anonymous().get(path).header("Origin", origin).await.expecting(401);
        for answer in [&called, &refused] {
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            for header in ["ETag", "Location", "Retry-After", "Upload-Offset", "Tus-Resumable"] {
                assert!(mentions(answer, "access-control-expose-headers", header), "{header}");
            }
        }
    }
    // The others' pages are told nothing, and what needs no permission of a browser works on.
    let stranger = "https://evil.example.com";
    let refused = preflight(&depot, stranger, "GET", "authorization").await;
    assert!(refused.header("access-control-allow-origin").is_none());
    let answer = depot.anonymous().get("/livez").header("Origin", stranger).await.expecting(200);
    assert!(answer.header("access-control-allow-origin").is_none());
    // OPTIONS that asks for no permission names the methods, as everywhere.
    let options = depot.anonymous().call(&reqwest::Method::OPTIONS, "/api/v1/images").await;
    assert!(options.required_header("allow").contains("POST"));
}

#[tokio::test]
async fn without_the_setting_no_page_of_another_origin_gets_in() {
    let depot = Depot::start(Database::Sqlite).await;
    let refused = preflight(&depot, DASHBOARD, "GET", "authorization").await;
    let answer = depot.admin().get("/api/v1/images").header("Origin", DASHBOARD).await;
    for answer in [&refused, &answer] {
        assert!(answer.header("access-control-allow-origin").is_none());
        assert!(
            answer.header("vary").is_none()
                && answer.header("access-control-expose-headers").is_none()
        );
    }
}

#[tokio::test]
async fn origins_that_no_browser_sends_are_refused_by_check_config() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("imagedepot.toml");
    for origin in ["*", "https://dash.example.com/", "dash.example.com"] {
        std::fs::write(&file, format!("[access]\ncors = ['{origin}']\n")).expect("write settings");
        let checked = run(imagedepot(["check-config", "--config", &file.display().to_string()]));
        let checked = checked.await;
        assert!(checked.code > 0 && checked.stderr.contains("access.cors"), "{}", checked.stderr);
    }
}

#[tokio::test]
async fn another_site_s_page_changes_nothing_with_what_the_browser_holds() {
    let settings = format!("[access]\ncors = [\"{DASHBOARD}\"]\n");
    let depot = Depot::on(Database::Sqlite).settings_file(&settings).start().await;
    let admin = depot.admin();
    let revision = admin.published_image("win7-office", "production").await;
    let own = depot.server.url();
    // As browsers send them: those of today and those without Sec-Fetch-Site, and a sandboxed frame.
    for (origin, site) in [
        ("https://evil.example.com", Some("cross-site")),
        ("https://evil.example.com", Some("same-site")),
        ("https://evil.example.com", None),
        ("null", Some("cross-site")),
        ("null", None),
        (own.replace("127.0.0.1", "localhost").as_str(), None),
    ] {
        let path = format!("/api/v1/images/win7-office/revisions/{revision}/revoke");
        let mut call = admin.post(&path).header("Origin", origin);
        if let Some(site) = site {
            call = call.header("Sec-Fetch-Site", site);
        }
        assert_eq!(call.await.problem(403), "cross_site_request", "{origin} {site:?}");
        // Reading is left to CORS, which keeps the answer from the page.
        let read = admin.get("/api/v1/images").header("Origin", origin);
        read.header("Sec-Fetch-Site", "cross-site").await.expecting(200);
    }
    assert_eq!(admin.revision("win7-office", revision).await["state"], "ready");
    for (origin, site) in
        [(own.as_str(), Some("same-origin")), (own.as_str(), None), (DASHBOARD, Some("cross-site"))]
    {
        let mut call = admin.post("/api/v1/images/win7-office/revisions").header("Origin", origin);
        if let Some(site) = site {
            call = call.header("Sec-Fetch-Site", site);
        }
        call.await.expecting(201);
    }
}
