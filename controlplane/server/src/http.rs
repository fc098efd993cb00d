//! The HTTP interface of operators: JSON below `/api/v1`, for which the document at `/api/v1/openapi.json` stands.
//!
//! Every route is a row of one table ([`route`]): its path, who may use it, what it does. The document is made from the same
//! table. Handlers ask the driver, or write what `controlplane/core` has worked out.

mod assets;
mod change;
mod cluster;
mod events;
mod load;
mod nodes;
mod openapi;
mod placement;
mod reply;
mod resource;
mod route;
mod session;
mod tokens;
mod traffic;
mod transport;

use std::sync::Arc;

pub use self::openapi::document as openapi_document;
pub(crate) use self::{
    events::Events,
    transport::{serve, tls},
};
use self::{
    reply::{Problem, Reply},
    route::{Op, Request},
};
use crate::{
    Authority,
    access::{Access, Caller, Sessions},
    config::ControlConfig,
    control::{Handle, JoinTokens},
};

/// What handlers work with.
#[derive(Clone)]
pub struct Api {
    handle: Handle,
    access: Access,
    join: JoinTokens,
    authority: Arc<Authority>,
    sessions: Sessions,
    events: Events,
    /// The name of this replica.
    name: String,
}

impl Api {
    /// The interface of a replica.
    #[must_use]
    pub fn new(
        config: &ControlConfig,
        handle: Handle,
        access: Access,
        join: JoinTokens,
        authority: Arc<Authority>,
    ) -> Self {
        let (sessions, events) = (Sessions::new(&authority), Events::default());
        Self { handle, access, join, authority, sessions, events, name: config.control.name.clone() }
    }

    /// What tells browsers of changes; it has to run.
    pub(crate) fn events(&self) -> Events {
        self.events.clone()
    }

    /// Answers a request.
    async fn answer(&self, request: &Request) -> Reply {
        if let Some(asset) = assets::find(&request.method, &request.path, request.if_none_match.as_deref()) {
            return asset;
        }
        match self.dispatch(request).await {
            Ok(reply) => reply,
            Err(problem) => problem.reply(&request.path),
        }
    }

    async fn dispatch(&self, request: &Request) -> Result<Reply, Problem> {
        let (route, params) = route::find(&request.method, &request.path)?;
        if !session::is_own(request) {
            return Err(Problem::csrf());
        }
        let caller = match (route.role, self.caller(request)) {
            (None, _) => None,
            (Some(_), None) if !self.access.is_read() => return Err(Problem::unread()),
            (Some(_), None) => return Err(Problem::unauthenticated()),
            (Some(role), Some(caller)) if caller.role < role => return Err(Problem::forbidden(&caller, role)),
            (Some(_), Some(caller)) => Some(caller),
        };
        let call = Call { api: self, request, params, caller };
        call.run(route.op).await
    }
}

/// One request on its way.
struct Call<'a> {
    api: &'a Api,
    request: &'a Request,
    params: Vec<String>,
    caller: Option<Caller>,
}

impl Call<'_> {
    async fn run(&self, op: Op) -> Result<Reply, Problem> {
        match op {
            Op::Health => Ok(Reply::json(200, &serde_json::json!({"status": "healthy"}))),
            Op::Ready => self.ready().await,
            Op::ClusterStatus => self.cluster_status().await,
            Op::Metrics => self.metrics().await,
            Op::OpenApi => Ok(Reply::json(200, &openapi::document())),
            Op::Whoami => self.whoami(),
            Op::LogIn => self.log_in(),
            Op::LogOut => Ok(self.log_out()),
            Op::Events => self.events(),
            Op::Overview => self.overview().await,
            Op::Alarms => self.alarms().await,
            Op::Store => self.store().await,
            Op::AcceptStore => self.accept_store().await,
            Op::Links => self.links().await,
            Op::Nodes => self.nodes().await,
            Op::Node => self.node().await,
            Op::PatchNode => self.patch_node().await,
            Op::DrainNode => self.drain_node().await,
            Op::RemoveNode => self.remove_node().await,
            Op::NodeToken => self.node_token().await,
            Op::Policies => self.policies().await,
            Op::Policy => self.policy().await,
            Op::PutPolicy => self.put_policy().await,
            Op::DeletePolicy => self.delete_policy().await,
            Op::Placement => self.placement().await,
            Op::MakePlan => self.make_plan().await,
            Op::Plan => self.plan().await,
            Op::ApplyPlan => self.apply_plan().await,
            Op::Pause => self.pause(true).await,
            Op::Resume => self.pause(false).await,
            Op::Revisions => self.revisions().await,
            Op::Restore => self.restore().await,
            Op::Simulate => self.simulate().await,
            Op::Suggestions => self.suggestions().await,
            Op::TopicWhere => self.topic_where().await,
            Op::Tokens => Ok(self.tokens()),
            Op::MakeToken => self.make_token().await,
            Op::RevokeToken => self.revoke_token().await,
        }
    }

    /// The n-th name in the path.
    fn param(&self, nth: usize) -> &str {
        self.params.get(nth).map_or("", String::as_str)
    }

    fn events(&self) -> Result<Reply, Problem> {
        let (api, request) = (self.api.clone(), self.request.clone());
        let feed =
            self.api.events.listen(self.request.last_event_id.as_deref(), move || api.caller(&request).is_some());
        let full = || Problem::new(503, "events.full", "too many listen", "close some windows, or ask another replica");
        feed.map(Reply::feed).ok_or_else(full)
    }

    fn whoami(&self) -> Result<Reply, Problem> {
        let caller = self.caller.as_ref().ok_or_else(Problem::unauthenticated)?;
        Ok(Reply::json(200, &serde_json::json!({"id": caller.id, "name": caller.name, "role": caller.role})))
    }
}

#[cfg(test)]
mod tests;
