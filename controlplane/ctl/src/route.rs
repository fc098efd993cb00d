//! The routes of control's HTTP interface: the one place that knows their paths. A test holds them against the document
//! that control publishes.

/// A route, by what it does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs, reason = "each is named as in the OpenAPI document, which says what it does")]
pub enum Route {
    Health,
    Ready,
    ClusterStatus,
    Metrics,
    OpenApi,
    Whoami,
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

impl Route {
    /// The method, and the path with names in braces.
    #[must_use]
    pub fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Health => ("GET", "/health"),
            Self::Ready => ("GET", "/ready"),
            Self::ClusterStatus => ("GET", "/cluster/status"),
            Self::Metrics => ("GET", "/metrics"),
            Self::OpenApi => ("GET", "/api/v1/openapi.json"),
            Self::Whoami => ("GET", "/api/v1/whoami"),
            Self::Overview => ("GET", "/api/v1/overview"),
            Self::Alarms => ("GET", "/api/v1/alarms"),
            Self::Store => ("GET", "/api/v1/store"),
            Self::AcceptStore => ("POST", "/api/v1/store/accept"),
            Self::Links => ("GET", "/api/v1/links"),
            Self::Nodes => ("GET", "/api/v1/nodes"),
            Self::Node => ("GET", "/api/v1/nodes/{id}"),
            Self::PatchNode => ("PATCH", "/api/v1/nodes/{id}"),
            Self::DrainNode => ("POST", "/api/v1/nodes/{id}/drain"),
            Self::RemoveNode => ("DELETE", "/api/v1/nodes/{id}"),
            Self::NodeToken => ("POST", "/api/v1/node-tokens"),
            Self::Policies => ("GET", "/api/v1/placements"),
            Self::Policy => ("GET", "/api/v1/placements/{name}"),
            Self::PutPolicy => ("PUT", "/api/v1/placements/{name}"),
            Self::DeletePolicy => ("DELETE", "/api/v1/placements/{name}"),
            Self::Placement => ("GET", "/api/v1/placement"),
            Self::MakePlan => ("POST", "/api/v1/placement/plans"),
            Self::Plan => ("GET", "/api/v1/placement/plans/{id}"),
            Self::ApplyPlan => ("POST", "/api/v1/placement/plans/{id}/apply"),
            Self::Pause => ("POST", "/api/v1/placement/pause"),
            Self::Resume => ("POST", "/api/v1/placement/resume"),
            Self::Revisions => ("GET", "/api/v1/placement/revisions"),
            Self::Restore => ("POST", "/api/v1/placement/revisions/{number}/restore"),
            Self::Simulate => ("POST", "/api/v1/placement/simulations"),
            Self::Suggestions => ("GET", "/api/v1/placement/suggestions"),
            Self::TopicWhere => ("GET", "/api/v1/topics/where"),
            Self::Tokens => ("GET", "/api/v1/tokens"),
            Self::MakeToken => ("POST", "/api/v1/tokens"),
            Self::RevokeToken => ("DELETE", "/api/v1/tokens/{id}"),
        }
    }

    /// The method, such as `GET`.
    #[must_use]
    pub fn method(self) -> &'static str {
        self.row().0
    }

    /// The path, with names in braces.
    #[must_use]
    pub fn path(self) -> &'static str {
        self.row().1
    }

    /// Whether asking a second time, by another replica, does no harm.
    #[must_use]
    pub fn only_reads(self) -> bool {
        self.method() == "GET" || self == Self::Simulate
    }
}
