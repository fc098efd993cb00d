//! Puts base tables together beside the control task: a large one takes a second or more.

use std::{mem, sync::Arc};

use sluice_cluster::{Version, routing::BaseTable, wire::WireError, wire::resources};
use sluice_discovery::{Body, HeldSet, Name};
use tokio::{sync::mpsc, task::spawn_blocking};
use tracing::error;

/// One build at a time; of what comes meanwhile the last is built next.
#[derive(Debug)]
pub(super) struct RoutesBuilder {
    state: State,
    built: mpsc::Sender<Result<BaseTable, WireError>>,
    done: mpsc::Receiver<Result<BaseTable, WireError>>,
}

#[derive(Debug)]
enum State {
    Idle,
    Building,
    BuildingThen(Source),
}

/// What a table is built from.
#[derive(Debug)]
pub(super) struct Source {
    version: Version,
    resources: Vec<(Name, Body)>,
}

impl Source {
    /// The routes that are held.
    pub(super) fn held(held: &HeldSet) -> Self {
        let resources = held.iter().map(|(name, body)| (name.clone(), body.clone())).collect();
        Self { version: held.version(), resources }
    }

    /// The routes that are held, and those retired beside them, as a node has them that has just started: it has no
    /// earlier table to carry.
    pub(super) fn with_retired(held: &HeldSet) -> Self {
        let mut source = Self::held(held);
        source.resources.extend(held.retired().map(|(name, body)| (name.clone(), body.clone())));
        source
    }

    pub(super) fn build(&self) -> Result<BaseTable, WireError> {
        resources::read_routes(self.version, self.resources.iter().map(|(name, body)| (name.as_str(), &**body)))
    }
}

impl RoutesBuilder {
    pub(super) fn new() -> Self {
        let (built, done) = mpsc::channel(1);
        Self { state: State::Idle, built, done }
    }

    /// Builds a table, after the one that is being built.
    pub(super) fn build(&mut self, source: Source) {
        self.state = match self.state {
            State::Idle => {
                self.spawn(source);
                State::Building
            }
            State::Building | State::BuildingThen(_) => State::BuildingThen(source),
        };
    }

    /// The next table, when it is ready. Pending while none is being built. Nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self) -> Option<Arc<BaseTable>> {
        let built = self.done.recv().await?;
        if let State::BuildingThen(source) = mem::replace(&mut self.state, State::Idle) {
            self.build(source);
        }
        // It was judged before it was held.
        built.inspect_err(|error| error!(%error, "accepted routes cannot be put together")).ok().map(Arc::new)
    }

    fn spawn(&self, source: Source) {
        let built = self.built.clone();
        spawn_blocking(move || {
            let _ = built.blocking_send(source.build());
        });
    }
}
