//! The table of routes, and how a request finds its row.

use std::collections::BTreeMap;

use super::reply::Problem;
use crate::access::Role;

/// A request as handlers see it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) authorization: Option<String>,
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) cookies: Vec<String>,
    /// Whether it has the header [`CSRF_HEADER`].
    pub(super) has_csrf_header: bool,
    pub(super) last_event_id: Option<String>,
    /// Whether it came with TLS, here or to a proxy.
    pub(super) is_encrypted: bool,
    pub(super) body: Vec<u8>,
}

/// What a page of this origin sends with what changes something.
pub(super) const CSRF_HEADER: &str = "x-sluice-csrf";

/// What a route does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Health,
    Ready,
    ClusterStatus,
    Metrics,
    OpenApi,
    Whoami,
    LogIn,
    LogOut,
    Events,
    Overview,
    Alarms,
    Store,
    AcceptStore,
    Links,
    Nodes,
    Node,
    PatchNode,
    DrainNode,
    RemoveNode,
    NodeToken,
    Policies,
    Policy,
    PutPolicy,
    DeletePolicy,
    Placement,
    MakePlan,
    Plan,
    ApplyPlan,
    Pause,
    Resume,
    Revisions,
    Restore,
    Simulate,
    Suggestions,
    TopicWhere,
    Tokens,
    MakeToken,
    RevokeToken,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    /// With names in braces.
    pub(super) path: &'static str,
    /// The least role; `None`: anybody.
    pub(super) role: Option<Role>,
    pub(super) op: Op,
    pub(super) summary: &'static str,
    /// Parameters behind the question mark, each with what it means.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Whether it is for browsers only: what it does makes no sense for a program with a token.
    pub(super) is_for_browsers: bool,
}

const fn browsers(
    method: &'static str,
    path: &'static str,
    role: Option<Role>,
    op: Op,
    summary: &'static str,
) -> Route {
    Route { is_for_browsers: true, ..route(method, path, role, op, summary, &[]) }
}

const fn route(
    method: &'static str,
    path: &'static str,
    role: Option<Role>,
    op: Op,
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
) -> Route {
    Route { method, path, role, op, summary, query, is_for_browsers: false }
}

const VIEWER: Option<Role> = Some(Role::Viewer);
const OPERATOR: Option<Role> = Some(Role::Operator);
const ADMIN: Option<Role> = Some(Role::Admin);
const DRY: (&str, &str) = ("dry_run", "true: says what would happen and changes nothing");
const PAGE: [(&str, &str); 2] =
    [("cursor", "next_cursor of the page before"), ("limit", "entries of a page, 1 to 1000")];

/// All routes.
pub(super) const ROUTES: [Route; 38] = [
    route("GET", "/health", None, Op::Health, "whether the process lives", &[]),
    route("GET", "/ready", None, Op::Ready, "whether this replica can serve", &[]),
    route(
        "GET",
        "/cluster/status",
        VIEWER,
        Op::ClusterStatus,
        "the cluster in the shape that its predecessor had",
        &[],
    ),
    route("GET", "/metrics", VIEWER, Op::Metrics, "figures for Prometheus", &[]),
    route("GET", "/api/v1/openapi.json", VIEWER, Op::OpenApi, "this document", &[]),
    route("GET", "/api/v1/whoami", VIEWER, Op::Whoami, "who asks", &[]),
    browsers("POST", "/api/v1/session", None, Op::LogIn, "exchanges a token for a cookie"),
    browsers("DELETE", "/api/v1/session", None, Op::LogOut, "takes the cookie away"),
    browsers("GET", "/api/v1/events", VIEWER, Op::Events, "which kinds of things have changed, as it happens"),
    route("GET", "/api/v1/overview", VIEWER, Op::Overview, "the cluster on one page", &[]),
    route("GET", "/api/v1/alarms", VIEWER, Op::Alarms, "what somebody should do something about", &[]),
    route("GET", "/api/v1/store", VIEWER, Op::Store, "the metadata store", &[]),
    route(
        "POST",
        "/api/v1/store/accept",
        ADMIN,
        Op::AcceptStore,
        "goes on with a store that was restored from a backup",
        &[],
    ),
    route("GET", "/api/v1/links", VIEWER, Op::Links, "who hears whom, and how far away", &[]),
    route("GET", "/api/v1/nodes", VIEWER, Op::Nodes, "all nodes, with what each holds of each type", &PAGE),
    route("GET", "/api/v1/nodes/{id}", VIEWER, Op::Node, "one node", &[]),
    route("PATCH", "/api/v1/nodes/{id}", OPERATOR, Op::PatchNode, "cordons, uncordons, labels, weighs a node", &[]),
    route(
        "POST",
        "/api/v1/nodes/{id}/drain",
        OPERATOR,
        Op::DrainNode,
        "sends a node's clients and brings its shards elsewhere",
        &[],
    ),
    route(
        "DELETE",
        "/api/v1/nodes/{id}",
        ADMIN,
        Op::RemoveNode,
        "removes a node for ever",
        &[("lost", "true: what only it has is given up")],
    ),
    route(
        "POST",
        "/api/v1/node-tokens",
        ADMIN,
        Op::NodeToken,
        "a token with which one machine becomes a node",
        &[("ttl_s", "for how many seconds it can be used, 3600 unless said")],
    ),
    route("GET", "/api/v1/placements", VIEWER, Op::Policies, "all policies", &PAGE),
    route("GET", "/api/v1/placements/{name}", VIEWER, Op::Policy, "one policy", &[]),
    route("PUT", "/api/v1/placements/{name}", OPERATOR, Op::PutPolicy, "puts a policy", &[DRY]),
    route("DELETE", "/api/v1/placements/{name}", OPERATOR, Op::DeletePolicy, "deletes a policy", &[DRY]),
    route("GET", "/api/v1/placement", VIEWER, Op::Placement, "which nodes have which shard", &PAGE),
    route("POST", "/api/v1/placement/plans", OPERATOR, Op::MakePlan, "plans a change of policies", &[]),
    route("GET", "/api/v1/placement/plans/{id}", VIEWER, Op::Plan, "a plan, and what it would do", &[]),
    route("POST", "/api/v1/placement/plans/{id}/apply", OPERATOR, Op::ApplyPlan, "applies a plan", &[]),
    route("POST", "/api/v1/placement/pause", OPERATOR, Op::Pause, "lets nothing new move", &[]),
    route("POST", "/api/v1/placement/resume", OPERATOR, Op::Resume, "lets shards move again", &[]),
    route("GET", "/api/v1/placement/revisions", VIEWER, Op::Revisions, "what was changed, by whom and when", &PAGE),
    route(
        "POST",
        "/api/v1/placement/revisions/{number}/restore",
        OPERATOR,
        Op::Restore,
        "brings back the policies of then",
        &[],
    ),
    route("POST", "/api/v1/placement/simulations", VIEWER, Op::Simulate, "what a loss would do", &[]),
    route(
        "GET",
        "/api/v1/placement/suggestions",
        VIEWER,
        Op::Suggestions,
        "what would turn remote deliveries into local ones, by observed traffic",
        &[],
    ),
    route("GET", "/api/v1/topics/where", VIEWER, Op::TopicWhere, "where a topic lives", &[("topic", "its name")]),
    route("GET", "/api/v1/tokens", ADMIN, Op::Tokens, "who may use this interface", &[]),
    route("POST", "/api/v1/tokens", ADMIN, Op::MakeToken, "lets somebody in", &[]),
    route("DELETE", "/api/v1/tokens/{id}", ADMIN, Op::RevokeToken, "lets somebody in no more", &[]),
];

/// The route of a request, and the names in its path.
pub(super) fn find(method: &str, path: &str) -> Result<(&'static Route, Vec<String>), Problem> {
    let matching = || ROUTES.iter().filter_map(|route| Some((route, captured(route.path, path)?)));
    if let Some(found) = matching().find(|(route, _)| route.method == method) {
        return Ok(found);
    }
    let allowed: Vec<&str> = matching().map(|(route, _)| route.method).collect();
    if allowed.is_empty() {
        return Err(Problem::unknown(path));
    }
    let detail = format!("{path} takes {}", allowed.join(", "));
    Err(Problem::new(405, "method.not_allowed", "this cannot be done with it", detail))
}

/// The names in a path, if it is one of a pattern.
fn captured(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    let mut names = Vec::new();
    let mut path = path;
    for wanted in pattern {
        let found = path.next()?;
        if wanted.starts_with('{') {
            names.push(decoded(found).filter(|name| !name.is_empty())?);
        } else if wanted != found {
            return None;
        }
    }
    path.next().is_none().then_some(names)
}

/// Text with its `%XX` as bytes; `None` if that is no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_row_and_the_names_in_it() {
        let found = |method, path| find(method, path).map(|(route, names)| (route.op, names)).ok();
        assert_eq!(found("GET", "/api/v1/nodes/00a"), Some((Op::Node, vec!["00a".into()])));
        assert_eq!(found("PUT", "/api/v1/placements/eu%2Fa"), Some((Op::PutPolicy, vec!["eu/a".into()])));
        assert_eq!(found("POST", "/api/v1/placement/plans/p/apply"), Some((Op::ApplyPlan, vec!["p".into()])));
        for (method, path) in
            [("GET", "/api/v1/nodes/"), ("GET", "/api/v1/nodes/a/b"), ("GET", "/x"), ("POST", "/health")]
        {
            assert_eq!(found(method, path), None, "{method} {path}");
        }
        assert_eq!((decoded("a%zz"), decoded("%ff"), decoded("%e2%82%ac")), (None, None, Some("€".into())));
    }

    #[test]
    fn no_two_rows_are_the_same_and_only_health_and_the_login_are_open() {
        let mut seen: Vec<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), ROUTES.len());
        let open: Vec<_> = ROUTES.iter().filter(|route| route.role.is_none()).map(|route| route.path).collect();
        assert_eq!(open, ["/health", "/ready", "/api/v1/session", "/api/v1/session"]);
        let harmless = [Op::Simulate, Op::LogIn, Op::LogOut];
        let changing = ROUTES.iter().filter(|route| route.method != "GET" && !harmless.contains(&route.op));
        assert!(changing.clone().count() > 10 && changing.into_iter().all(|route| route.role >= Some(Role::Operator)));
    }
}
