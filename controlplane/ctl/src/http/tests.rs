//! Replicas that answer, refuse, or fall silent at the wrong moment.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::json;

use super::*;
use crate::{request::Condition, route::Route};

/// What a replica does with a request that it has read.
#[derive(Clone, Copy)]
enum Does {
    /// Answers with a status, a header and a body.
    Answers(u16, &'static str, &'static str),
    /// Closes the connection.
    Hangs,
}

/// A replica that does the same with every request. Its address, and the requests that it has read.
fn replica(does: Does) -> (String, Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, seen) = channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut text = String::new();
            let mut bytes = [0; 4096];
            while !is_whole(&text) {
                let count = socket.read(&mut bytes).unwrap();
                text += std::str::from_utf8(&bytes[..count]).unwrap();
            }
            if sender.send(text).is_err() {
                return;
            }
            if let Does::Answers(status, header, body) = does {
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{header}");
                socket.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
            }
        }
    });
    (format!("http://{address}"), seen)
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn control(servers: &[&String]) -> Control {
    let servers = servers.iter().map(|server| (*server).clone()).collect();
    let target = Target { servers, token: Some("slc_a_b".into()), ca: None };
    Control::new(&target, Duration::from_secs(30)).unwrap()
}

const FOLLOWS: Does = Does::Answers(503, "", r#"{"code": "control.not_leading", "title": "t", "detail": "d"}"#);
const GOOD: Does = Does::Answers(200, "ETag: \"42\"\r\n", "{}");

#[test]
fn a_request_carries_the_token_what_it_was_made_from_and_its_body() {
    let (server, seen) = replica(GOOD);
    let request = Request::to(Route::PutPolicy).named("a/b").body(json!({"x": 1})).from_state(Condition::At(7));
    let answer = control(&[&server]).send(&request).unwrap();
    assert_eq!((answer.status, answer.etag, answer.text.as_str()), (200, Some(42), "{}"));
    let text = seen.recv().unwrap().to_lowercase();
    assert!(text.starts_with("put /api/v1/placements/a%2fb http/1.1\r\n"), "{text}");
    for part in ["authorization: bearer slc_a_b\r\n", "if-match: \"7\"\r\n", "content-type: application/json\r\n"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.ends_with("{\"x\":1}"));
}

#[test]
fn every_method_goes_with_and_without_a_body() {
    let (server, seen) = replica(GOOD);
    let mut control = control(&[&server]);
    for route in [Route::Overview, Route::Pause, Route::PatchNode, Route::RemoveNode] {
        control.send(&Request::to(route).named("x")).unwrap();
        assert!(seen.recv().unwrap().starts_with(route.method()));
    }
    control.send(&Request::to(Route::PatchNode).named("x").body(json!({}))).unwrap();
    assert!(seen.recv().unwrap().ends_with("\r\n\r\n{}"));
}

#[test]
fn what_a_replica_cannot_answer_another_is_asked_and_that_one_first_from_then_on() {
    let ((follower, asked), (leader, leads)) = (replica(FOLLOWS), replica(GOOD));
    let mut control = control(&[&follower, &leader]);
    for _ in 0..3 {
        assert_eq!(control.send(&Request::to(Route::Links)).unwrap().status, 200);
    }
    assert_eq!((asked.try_iter().count(), leads.try_iter().count()), (1, 3));
    let refused = self::control(&[&follower]).send(&Request::to(Route::Links)).unwrap();
    assert!(refused.status == 503 && refused.text.contains("not_leading"), "the only answer is the best one");
}

#[test]
fn what_may_have_been_done_is_not_asked_for_again() {
    let ((silent, _heard), (other, others)) = (replica(Does::Hangs), replica(GOOD));
    let failure = control(&[&silent, &other]).send(&Request::to(Route::Pause)).unwrap_err();
    assert!(failure.exit == Exit::Unreachable && failure.to_string().contains("may have been done"), "{failure}");
    assert_eq!(others.try_iter().count(), 0);
    let answer = control(&[&silent, &other]).send(&Request::to(Route::Overview)).unwrap();
    assert_eq!((answer.status, others.try_iter().count()), (200, 1), "looking does no harm");
}

#[test]
fn a_token_is_not_carried_to_where_an_answer_points() {
    let (elsewhere, reached) = replica(GOOD);
    let location: &'static str = Box::leak(format!("Location: {elsewhere}/x\r\n").into_boxed_str());
    let (server, _seen) = replica(Does::Answers(302, location, ""));
    let answer = control(&[&server]).send(&Request::to(Route::Overview)).unwrap();
    assert_eq!((answer.status, reached.try_iter().count()), (302, 0));
}

#[test]
fn nobody_there_is_said_of_each_of_them() {
    let free = || format!("http://{}", TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap());
    let (one, other) = (free(), free());
    let failure = control(&[&one, &other]).send(&Request::to(Route::Pause)).unwrap_err();
    assert!(failure.exit == Exit::Unreachable, "{failure}");
    assert!([&one, &other].iter().all(|server| failure.reason().contains(*server)), "{failure}");
}
