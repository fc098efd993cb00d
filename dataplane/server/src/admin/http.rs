//! The routes.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;
use tokio::{sync::Mutex, task};
use warp::{
    Filter, Rejection, Reply,
    http::{StatusCode, header},
    reject,
    reply::{Response, with_header, with_status},
};

use super::{NodeSnapshot, Phase, StatusSource, status::Ready, status::Status};
use crate::metrics;
use sluice_service::metrics::Scrape;

/// Asks the source, but not more often than [`FRESH`].
pub(super) struct Snapshots {
    source: Arc<dyn StatusSource>,
    last: Mutex<Option<(Instant, Arc<NodeSnapshot>)>>,
}

impl Snapshots {
    pub(super) fn new(source: Arc<dyn StatusSource>) -> Arc<Self> {
        Arc::new(Self { source, last: Mutex::new(None) })
    }

    /// `None` when the source failed.
    async fn now(&self) -> Option<Arc<NodeSnapshot>> {
        // Held while asking: who comes meanwhile gets the same answer.
        let mut last = self.last.lock().await;
        if let Some((at, snapshot)) = &*last
            && at.elapsed() < FRESH
        {
            return Some(Arc::clone(snapshot));
        }
        let source = Arc::clone(&self.source);
        let snapshot = Arc::new(task::spawn_blocking(move || source.snapshot()).await.ok()?);
        *last = Some((Instant::now(), Arc::clone(&snapshot)));
        Some(snapshot)
    }
}

/// Everything the port answers.
pub(super) fn routes(
    snapshots: Arc<Snapshots>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let node = warp::any().and_then(move || {
        let snapshots = Arc::clone(&snapshots);
        async move { snapshots.now().await.ok_or_else(|| reject::custom(NoAnswer)) }
    });
    let at = |path: &'static str| warp::get().and(warp::path(path)).and(warp::path::end());

    // The process alone: whoever restarts it on a bad answer must not be told about disks and peers.
    let health = at("health").or(at("livez")).unify().map(|| json(&Health { status: "ok" }));
    let ready = at("ready")
        .or(at("readyz"))
        .unify()
        .and(warp::query::<HashMap<String, String>>())
        .and(node.clone())
        .map(|query: HashMap<String, String>, node: Arc<NodeSnapshot>| ready(&query, &node));
    let status = warp::get()
        .and(warp::path!("cluster" / "status"))
        .and(node.clone())
        .map(|node: Arc<NodeSnapshot>| json(&Status::of(&node, SystemTime::now())));
    let metrics = at("metrics").and(node).map(|node: Arc<NodeSnapshot>| {
        with_header(metrics::text(&node), header::CONTENT_TYPE, Scrape::CONTENT_TYPE).into_response()
    });
    let routes = health.or(ready).unify().or(status).unify().or(metrics).unify();
    routes.recover(|rejection| async move { Ok::<_, Infallible>(refuse(&rejection)) }).unify()
}

fn ready(query: &HashMap<String, String>, node: &NodeSnapshot) -> Response {
    let started = node.phase != Phase::Starting;
    // A startup probe asks whether the start is over, and must not kill a node that drains.
    let startup = query.get("startup").is_some_and(|value| value == "1");
    let good = if startup { started } else { node.readiness().is_ready() };
    with_status(json(&Ready::of(node)), if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
        .into_response()
}

/// With an end of line, for who reads it in a terminal.
fn json(body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => with_header(text + "\n", header::CONTENT_TYPE, "application/json").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Problem details (RFC 9457).
fn refuse(rejection: &Rejection) -> Response {
    let (status, title, detail) = if rejection.find::<NoAnswer>().is_some() {
        (StatusCode::INTERNAL_SERVER_ERROR, "The node did not answer", "The log says more.")
    } else if rejection.find::<reject::MethodNotAllowed>().is_some() {
        (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "This port only answers GET.")
    } else if rejection.is_not_found() {
        (StatusCode::NOT_FOUND, "Not found", "There are /health, /ready, /cluster/status and /metrics.")
    } else {
        (StatusCode::BAD_REQUEST, "Bad request", "The request could not be understood.")
    };
    let problem = Problem { r#type: "about:blank", title, status: status.as_u16(), detail };
    with_status(with_header(json(&problem), header::CONTENT_TYPE, "application/problem+json"), status).into_response()
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
}

/// The source panicked, which the log has said.
#[derive(Debug)]
struct NoAnswer;

impl reject::Reject for NoAnswer {}

/// How old an answer may be. Scrapes come every few seconds; what asks more often must not cost the workers anything.
const FRESH: Duration = Duration::from_millis(250);
