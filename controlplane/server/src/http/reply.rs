//! Answers: JSON, or a problem as in RFC 9457.

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_cluster::PolicyError;
use sluice_controlplane_core::intent::Refusal;
use sluice_controlplane_store::StoreError;
use tokio::sync::mpsc;

use super::route::CSRF_HEADER;
use crate::{
    access::{Caller, Role},
    control::Stopping,
};

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    /// The revision of what is shown, for `If-Match`.
    pub(super) etag: Option<u64>,
    /// Where to look what becomes of it.
    pub(super) location: Option<String>,
    /// Further headers.
    pub(super) headers: Vec<(&'static str, String)>,
    /// What comes instead of a body, piece by piece.
    pub(super) feed: Option<mpsc::Receiver<Bytes>>,
}

impl Reply {
    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self { status, ..Self::bytes("application/json", pretty(value)) }
    }

    pub(super) fn text(content_type: &'static str, text: String) -> Self {
        Self::bytes(content_type, text.into_bytes())
    }

    pub(super) fn bytes(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: 200, content_type, body, etag: None, location: None, headers: Vec::new(), feed: None }
    }

    pub(super) fn feed(feed: mpsc::Receiver<Bytes>) -> Self {
        Self { feed: Some(feed), ..Self::bytes("text/event-stream", Vec::new()) }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn etag(self, revision: u64) -> Self {
        Self { etag: Some(revision), ..self }
    }

    pub(super) fn location(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// Why something is not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    status: u16,
    /// A name that stays the same.
    code: &'static str,
    title: &'static str,
    detail: String,
    /// What in the body it is about, as a JSON pointer.
    pointer: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: u16, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, title, detail: detail.into(), pointer: None }
    }

    pub(super) fn unauthenticated() -> Self {
        let detail =
            "send a token: Authorization: Bearer slc_…; the first one is in the file bootstrap-token of control";
        Self::new(401, "auth.required", "who asks is not known", detail)
    }

    pub(super) fn wrong_token() -> Self {
        Self::new(401, "auth.wrong_token", "the token lets nobody in", "it is not one, was revoked, or has expired")
    }

    pub(super) fn csrf() -> Self {
        let detail = format!("what is changed by a session needs the header {CSRF_HEADER}, with any value");
        Self::new(403, "auth.csrf", "this does not come from the dashboard", detail)
    }

    pub(super) fn forbidden(caller: &Caller, needed: Role) -> Self {
        let detail = format!("the token {} is of role {:?}, and this needs {needed:?}", caller.name, caller.role);
        Self::new(403, "auth.forbidden", "the token may not do this", detail)
    }

    pub(super) fn unknown(what: impl std::fmt::Display) -> Self {
        Self::new(404, "not_found", "there is no such thing", format!("there is no {what}"))
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, "request.invalid", "the request cannot be understood", detail)
    }

    pub(super) fn not_leading() -> Self {
        let detail = "this replica does not lead, and only the leader knows what the nodes say: ask another replica";
        Self::new(503, "control.not_leading", "this replica does not lead", detail)
    }

    pub(super) fn unread() -> Self {
        Self::new(503, "store.unread", "the store has not been read yet", "ask again in a moment")
    }

    pub(super) fn conflict() -> Self {
        let detail = "others change the same things at the same time: look at what is there and ask again";
        Self::new(409, "store.contended", "it was changed by others", detail)
    }

    pub(super) fn reply(&self, path: &str) -> Reply {
        let mut value = json!({
            "type": format!("/docs/problems/{}", self.code),
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "instance": path,
        });
        if let Some(pointer) = self.pointer {
            value["errors"] = json!([{"pointer": pointer, "detail": self.detail}]);
        }
        Reply { content_type: "application/problem+json", ..Reply::json(self.status, &value) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Unknown { .. } => Self::new(404, "not_found", "there is no such thing", detail),
            Refusal::Modified { .. } => Self::new(412, "precondition.failed", "it has changed since", detail),
            Refusal::ParentMoved { .. } => Self::new(409, "plan.parent_moved", "the plan is out of date", detail),
            Refusal::Unreadable { .. } => Self::new(503, "store.unreadable", "the store cannot be read whole", detail),
            Refusal::Phase { .. } => Self::new(409, "node.phase", "the node cannot do this now", detail),
            Refusal::NotEmpty { .. } => Self::new(409, "node.not_empty", "the node still has shards", detail),
            Refusal::Forgotten { .. } => Self::new(410, "revision.forgotten", "that is not remembered", detail),
            Refusal::Policy(error) => Self {
                pointer: pointer(&error),
                ..Self::new(422, "placement.conflict", "the policies do not go together", detail)
            },
            Refusal::Shards { .. } => Self {
                pointer: Some("/spec/shards"),
                ..Self::new(422, "placement.invalid", "the policy cannot be so", detail)
            },
            Refusal::Default { .. } | Refusal::Keyspaces | Refusal::FilterBytes { .. } | Refusal::TooMany { .. } => {
                Self::new(422, "placement.invalid", "the policy cannot be so", detail)
            }
        }
    }
}

/// What in a resource is wrong, as far as that is one thing.
fn pointer(error: &PolicyError) -> Option<&'static str> {
    match error {
        PolicyError::Keyspace(_) => Some("/spec/topics"),
        PolicyError::Twice { .. } => Some("/metadata/name"),
        PolicyError::Replicas { .. } => Some("/spec/replicas"),
        PolicyError::Nodes { .. } => Some("/spec/home/nodes"),
        PolicyError::Fallbacks { .. } => Some("/spec/fallback"),
        PolicyError::Threshold { .. } => Some("/spec/retained/replicate_below"),
        PolicyError::SteerByTopic { .. } | PolicyError::SteerAnywhere { .. } => Some("/spec/steer"),
        PolicyError::SteerNowhere { .. } => Some("/spec/steerTransient"),
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(503, "store.unavailable", "the store does not take it", error.to_string())
    }
}

impl From<Stopping> for Problem {
    fn from(stopping: Stopping) -> Self {
        Self::new(503, "control.stopping", "this replica stops", stopping.to_string())
    }
}
