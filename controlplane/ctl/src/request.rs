//! Requests and answers, as values.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    failure::{Exit, Failure},
    route::Route,
};

/// A request to control.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// Where to.
    pub route: Route,
    /// What stands for the names in the path, in their order.
    names: Vec<String>,
    query: Vec<(&'static str, String)>,
    /// What is sent along.
    pub body: Option<Value>,
    /// Which state of a thing this was made from.
    pub condition: Option<Condition>,
}

/// The state that a change was made from: if another has changed it since, control refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// There was no such thing: `If-None-Match: *`.
    Absent,
    /// This revision: `If-Match`.
    At(u64),
    /// Whatever is there: `If-Match: *`.
    Any,
}

impl Condition {
    /// The header, its name and its value.
    #[must_use]
    pub fn header(&self) -> (&'static str, String) {
        match self {
            Self::Absent => ("If-None-Match", "*".into()),
            Self::At(revision) => ("If-Match", format!("\"{revision}\"")),
            Self::Any => ("If-Match", "*".into()),
        }
    }
}

impl Request {
    /// A request that says nothing but its route.
    #[must_use]
    pub fn to(route: Route) -> Self {
        Self { route, names: Vec::new(), query: Vec::new(), body: None, condition: None }
    }

    /// With the next name of the path.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.names.push(name.into());
        self
    }

    /// With a parameter behind the question mark.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// From a state.
    #[must_use]
    pub fn from_state(self, condition: Condition) -> Self {
        Self { condition: Some(condition), ..self }
    }

    /// Path and query, as they stand in the first line of the request.
    #[must_use]
    pub fn target(&self) -> String {
        let mut names = self.names.iter();
        let parts = self.route.path().split('/').map(|part| match part.starts_with('{') {
            true => names.next().map(|name| escaped(name)).unwrap_or_default(),
            false => part.to_owned(),
        });
        let path = parts.collect::<Vec<_>>().join("/");
        let pairs: Vec<_> = self.query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        if pairs.is_empty() { path } else { format!("{path}?{}", pairs.join("&")) }
    }
}

/// Text with all that could mean something in an address as `%XX`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// An answer of control, whatever it says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The revision of what is shown.
    pub etag: Option<u64>,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// It is none: whoever answers is not control.
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.text).map_err(|error| {
            let shown: String = self.text.chars().take(SHOWN_CHARACTERS).collect();
            Failure::new(Exit::Failed, "the answer cannot be understood")
                .because(format!("{error} in an answer of status {} that begins with {shown:?}", self.status))
                .fix("name control's HTTP interface with --server, port 7080 unless configured; not that of a node")
        })
    }
}

const SHOWN_CHARACTERS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_parameters_are_escaped_where_they_stand() {
        let of = |route| Request::to(route);
        assert_eq!(of(Route::Policy).named("eu/a b").target(), "/api/v1/placements/eu%2Fa%20b");
        assert_eq!(
            of(Route::TopicWhere).query("topic", "a/ü+&=#").target(),
            "/api/v1/topics/where?topic=a%2F%C3%BC%2B%26%3D%23"
        );
        assert_eq!(of(Route::ApplyPlan).named("p-1").target(), "/api/v1/placement/plans/p-1/apply");
        let two = of(Route::Nodes).query("limit", 5).query("cursor", "x");
        assert_eq!(two.target(), "/api/v1/nodes?limit=5&cursor=x");
    }

    #[test]
    fn an_answer_that_is_no_json_says_so_and_what_to_do() {
        let answer = Answer { status: 200, text: "<html>".into(), ..Answer::default() };
        let failure = answer.json().unwrap_err();
        assert!(failure.to_string().contains("<html>") && failure.to_string().contains("--server"));
    }
}
