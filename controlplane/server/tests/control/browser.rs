//! What browsers do: the dashboard's files, sessions, events.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{PATIENCE, Replica};

const OWN: &str = "X-Sluice-Csrf: 1";

impl Replica {
    /// The answer to a login, and the cookie as a browser sends it.
    async fn log_in(&self, token: &str) -> (u16, String, String) {
        let (status, head, _) = self.ask_as("POST", "/api/v1/session", &[OWN], &json!({"token": token})).await;
        let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_default().to_owned();
        let cookie = format!("Cookie: other=1; {}", set.split(';').next().unwrap());
        (status, set, cookie)
    }

    async fn viewer(&self) -> String {
        let made = self.ask("POST", "/api/v1/tokens", &[], &json!({"name": "anna", "role": "viewer"})).await;
        let token = made.2["token"].as_str().unwrap().to_owned();
        while self.ask_as("GET", "/api/v1/whoami", &[&format!("Authorization: Bearer {token}")], &Value::Null).await.0
            != 200
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        token
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_is_there_for_everybody_and_refers_to_nothing_else() {
    let replica = Replica::start().await;
    let (status, head, page) = replica.ask_as("GET", "/", &[], &Value::Null).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/html") && head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'self';"), "{head}");
    let page = page.as_str().unwrap();
    for file in page.split('"').filter(|text| text.starts_with("/ui/")) {
        assert_eq!(replica.ask_as("GET", file, &[], &Value::Null).await.0, 200, "{file}");
    }
    let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    assert_eq!(replica.ask_as("GET", "/", &[&format!("If-None-Match: {etag}")], &Value::Null).await.0, 304);
    let missing = replica.ask_as("GET", "/ui/nothing.js", &[], &Value::Null).await;
    assert_eq!((missing.0, &missing.2["code"]), (404, &json!("not_found")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_exchanged_for_a_cookie_that_no_script_sees_and_that_changes_nothing_by_itself() {
    let replica = Replica::start().await;
    let (status, set, cookie) = replica.log_in(&replica.token).await;
    assert_eq!(status, 201);
    assert!(set.contains("httponly") && set.contains("samesite=strict") && set.contains("path=/"), "{set}");
    assert!(!set.contains("secure"), "this listener has no TLS: {set}");
    assert!(!set.contains(replica.token.rsplit('_').next().unwrap()), "the secret stays out of the browser");
    let (status, _, who) = replica.ask_as("GET", "/api/v1/whoami", &[&cookie], &Value::Null).await;
    assert_eq!((status, &who["role"]), (200, &json!("admin")));
    let pause = async |headers: &[&str]| {
        let (status, _, body) = replica.ask_as("POST", "/api/v1/placement/pause", headers, &Value::Null).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(pause(&[&cookie]).await, (403, "auth.csrf".into()));
    assert_eq!(pause(&[&cookie, OWN]).await, (202, String::new()));
    let proxied = ["X-Forwarded-Proto: https", OWN];
    let out = replica.ask_as("DELETE", "/api/v1/session", &proxied, &Value::Null).await;
    assert!(out.0 == 204 && out.1.contains("max-age=0") && out.1.contains("; secure"), "{}", out.1);
    for wrong in ["slc_bootstrap_no", "", "x"] {
        assert_eq!(replica.log_in(wrong).await.0, 401, "{wrong}");
    }
    let forged = cookie.replace("bootstrap", "other");
    assert_eq!(replica.ask_as("GET", "/api/v1/whoami", &[&forged], &Value::Null).await.0, 401);
    let simple = replica.ask_as("POST", "/api/v1/session", &[], &json!({"token": replica.token})).await;
    assert_eq!(simple.0, 403, "a form of another page logs nobody in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_the_role_of_its_token_ends_with_it_and_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let replica = Replica::at(dir.path()).await;
    let token = replica.viewer().await;
    let (_, _, cookie) = replica.log_in(&token).await;
    let refused = replica.ask_as("POST", "/api/v1/placement/pause", &[&cookie, OWN], &Value::Null).await;
    assert_eq!((refused.0, &refused.2["code"]), (403, &json!("auth.forbidden")));
    replica.server.stop().await;
    let replica = Replica::at(dir.path()).await;
    assert_eq!(replica.ask_as("GET", "/api/v1/whoami", &[&cookie], &Value::Null).await.2["name"], "anna");
    let id = token.split('_').nth(1).unwrap();
    assert_eq!(replica.ask("DELETE", &format!("/api/v1/tokens/{id}"), &[], &Value::Null).await.0, 204);
    while replica.ask_as("GET", "/api/v1/whoami", &[&cookie], &Value::Null).await.0 != 401 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// What is left of an event stream to read.
struct Feed(TcpStream, String);

impl Feed {
    async fn open(replica: &Replica, headers: &[&str]) -> Self {
        let mut socket = TcpStream::connect(replica.server.http()).await.unwrap();
        let headers = headers.iter().map(|header| format!("{header}\r\n")).collect::<String>();
        socket.write_all(format!("GET /api/v1/events HTTP/1.1\r\nHost: x\r\n{headers}\r\n").as_bytes()).await.unwrap();
        Self(socket, String::new())
    }

    /// Reads until a text comes, and forgets what stands before its line's end.
    async fn until(&mut self, text: &str) -> String {
        let read = async {
            let mut buffer = [0; 4096];
            loop {
                if let Some(end) = self.1.find(text).and_then(|at| Some(at + self.1[at..].find("\n\n")? + 2)) {
                    return self.1.drain(..end).collect();
                }
                let length = self.0.read(&mut buffer).await.unwrap();
                assert!(length > 0, "it ended: {}", self.1);
                self.1 += std::str::from_utf8(&buffer[..length]).unwrap();
            }
        };
        timeout(PATIENCE, read).await.expect("an event")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_as_they_happen_and_what_was_missed_is_told_afterwards() {
    let replica = Replica::start().await;
    assert_eq!(replica.ask_as("GET", "/api/v1/events", &[], &Value::Null).await.0, 401);
    let (_, _, cookie) = replica.log_in(&replica.token).await;
    let mut feed = Feed::open(&replica, &[&cookie]).await;
    let hello = feed.until("event: hello").await;
    assert!(hello.contains("content-type: text/event-stream"), "{hello}");
    // The first look finds everything new.
    feed.until("event: changed").await;
    assert_eq!(replica.ask("POST", "/api/v1/placement/pause", &[], &Value::Null).await.0, 202);
    let event = feed.until("\"placement\"").await;
    let id = event.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(feed);
    assert_eq!(replica.ask("POST", "/api/v1/placement/resume", &[], &Value::Null).await.0, 202);
    let mut feed = Feed::open(&replica, &[&cookie, &format!("Last-Event-ID: {id}")]).await;
    feed.until("\"placement\"").await;
    let mut stranger = Feed::open(&replica, &[&cookie, "Last-Event-ID: 0-99"]).await;
    stranger.until("[\"stats\",\"nodes\",\"placement\",\"alarms\"]").await;
}
