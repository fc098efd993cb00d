//! Browsers: a token once, a cookie in return.
//!
//! The cookie is out of reach of scripts and is sent by pages of this origin only; and what changes something needs a header
//! besides, which no other origin can send. So a page from elsewhere can do nothing with it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Call, Problem, Reply, cluster::time, route::Request};
use crate::{access::Caller, control::wall_ms};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    token: String,
}

impl super::Api {
    /// Who asks: by a token, or else by the cookie of a session.
    pub(super) fn caller(&self, request: &Request) -> Option<Caller> {
        if let Some(authorization) = &request.authorization {
            return self.access.caller(Some(authorization));
        }
        self.sessions.open(&self.access, cookie(request)?, wall_ms())
    }
}

/// Whether a request that changes something comes from a page of this origin, or from no browser at all.
pub(super) fn is_own(request: &Request) -> bool {
    request.authorization.is_some() || request.has_csrf_header || matches!(request.method.as_str(), "GET" | "HEAD")
}

impl Call<'_> {
    pub(super) fn log_in(&self) -> Result<Reply, Problem> {
        let Wanted { token } = self.body()?;
        let access = &self.api.access;
        if !access.is_read() {
            return Err(Problem::unread());
        }
        let caller = access.caller(Some(&format!("Bearer {}", token.trim()))).ok_or_else(Problem::wrong_token)?;
        let until_ms = wall_ms() + SESSION.as_millis() as u64;
        let session = self.api.sessions.seal(access, &caller, until_ms).ok_or_else(Problem::wrong_token)?;
        tracing::info!(by = caller.name, "a browser has logged in");
        let value = json!({"id": caller.id, "name": caller.name, "role": caller.role, "expires_at": time(until_ms)});
        Ok(Reply::json(201, &value).header("set-cookie", &self.set(&session, SESSION)))
    }

    pub(super) fn log_out(&self) -> Reply {
        let reply = Reply { body: Vec::new(), ..Reply::json(204, &json!(null)) };
        reply.header("set-cookie", &self.set("", Duration::ZERO))
    }

    fn set(&self, value: &str, age: Duration) -> String {
        let secure = if self.request.is_encrypted { "; Secure" } else { "" };
        format!("{COOKIE}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", age.as_secs())
    }
}

fn cookie(request: &Request) -> Option<&str> {
    let pairs = request.cookies.iter().flat_map(|header| header.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

const COOKIE: &str = "sluice_session";
/// A working day: longer than somebody looks at it, shorter than somebody forgets it.
const SESSION: Duration = Duration::from_secs(12 * 3600);
