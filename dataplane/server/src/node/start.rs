//! From a plan to a running node.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use core_affinity::CoreId;
use mio::{Poll, Token, Waker};
use sluice_cluster::{Sharding, WorkerId};
use sluice_dataplane_core::{Input, Worker};
use sluice_dataplane_store::{self as store, Store};
use sluice_service::reload::Subjects;

use super::{
    OnDamage, RunningNode,
    cluster::{Gateway, Member},
    control::{Control, Joined},
    plan::Plan,
    pulse,
    standing::StandingNews,
    system,
    threads::{join, spawn},
};
use crate::{
    auth_pool::AuthPool,
    clock::Clock,
    config::{Durability, NodeConfig},
    event_log::EventLog,
    greeter::{self, Greeter},
    mailbox::{Letter, Mailbox},
    storage::{self, StoreOf},
    worker_thread::{self, WorkerThread},
};

/// A node whose listeners are open and whose threads are yet to start.
pub(super) struct Starting {
    plan: Plan,
    clock: Clock,
    workers: Arc<[Mailbox]>,
    worker_polls: Vec<Poll>,
    greeters: Vec<Mailbox>,
    greeter_polls: Vec<Poll>,
    threads: Vec<JoinHandle<()>>,
    gateway: Option<Gateway>,
    control: Option<Control>,
}

impl Starting {
    /// Reads and opens everything but the store.
    pub(super) fn prepare(config: &NodeConfig) -> anyhow::Result<Self> {
        let plan = Plan::of(config)?;
        let (worker_polls, workers) = mailboxes(usize::from(plan.workers), worker_thread::mailbox_token())?;
        let (greeter_polls, greeters) = mailboxes(plan.listeners.greeters.len(), greeter::mailbox_token())?;
        let (workers, clock, threads) = (workers.into(), Clock::start(), Vec::new());
        let (gateway, control) = (None, None);
        Ok(Self { plan, clock, workers, worker_polls, greeters, greeter_polls, threads, gateway, control })
    }

    /// Makes the node one of several: opens the port for the others.
    pub(super) fn link(mut self, config: &NodeConfig, member: &Member) -> anyhow::Result<Self> {
        let Plan { settings, seats, .. } = &self.plan;
        let (peers, seed) = (&config.cluster.peers, system::random()?);
        self.gateway = Some(Gateway::start(member, peers, settings, seats, &self.workers, self.clock, seed)?);
        Ok(self)
    }

    /// Ties it to control, from which it hears of the others.
    pub(super) fn control(mut self, config: &NodeConfig, joined: Joined) -> anyhow::Result<Self> {
        if let Some(gateway) = &self.gateway {
            self.control = Some(Control::start(joined, config, gateway, &self.workers)?);
        }
        Ok(self)
    }

    /// Opens the store, restores what is in it, and serves.
    pub(super) fn start(mut self, config: &NodeConfig, on_damage: OnDamage) -> anyhow::Result<RunningNode> {
        let store = self.open_store(config, on_damage)?;
        let authenticator = Arc::clone(self.plan.credentials.authenticator());
        let auth = AuthPool::start(AUTH_THREADS, &authenticator, &self.plan.doors(), &self.workers, self.clock)?;
        let started = self.start_workers(&store, &auth).and_then(|()| self.start_greeters());
        match started {
            Ok(()) => self.finish(config, store),
            Err(error) => {
                self.workers.iter().chain(&self.greeters).for_each(|mailbox| mailbox.post(Letter::Stop));
                join(self.threads);
                Err(error)
            }
        }
    }

    fn open_store(&self, config: &NodeConfig, on_damage: OnDamage) -> anyhow::Result<Arc<Store>> {
        let options = store::Options {
            durability: match config.storage.durability {
                Durability::Fsync => store::Durability::Fsync,
                Durability::Async => store::Durability::Async,
            },
            shards: config.storage.shards,
            accept_loss: on_damage == OnDamage::AcceptLoss,
            min_free: store::MinFree::Bytes(config.storage.reserve.0),
            ..store::Options::default()
        };
        let path = config.store_path();
        if let Some(parent) = path.parent() {
            super::system::private_directory(parent)?;
        }
        let workers = Arc::clone(&self.workers);
        let answers = move |answer| storage::deliver(answer, &workers);
        Ok(Arc::new(Store::open(path, options, Arc::new(answers))?))
    }

    /// Starts the workers, which restore what is stored, all at the same time; waits until every one of them serves.
    fn start_workers(&mut self, store: &Arc<Store>, auth: &AuthPool) -> anyhow::Result<()> {
        let polls = std::mem::take(&mut self.worker_polls);
        let acceptors = std::mem::take(&mut self.plan.listeners.workers);
        let cores = cores_for(polls.len());
        let (ready, restored) = mpsc::channel();
        for (index, (poll, acceptors)) in polls.into_iter().zip(acceptors).enumerate() {
            let id = WorkerId(u16::try_from(index)?);
            let (settings, rules) = (Arc::clone(&self.plan.settings), self.plan.access.rules());
            let parts = worker_thread::Parts {
                id,
                worker: Worker::new(id, self.plan.workers, settings, rules, system::random()?),
                poll,
                clock: self.clock,
                peers: self.workers.iter().chain(self.gateway.as_ref().map(Gateway::mailbox)).cloned().collect(),
                away: self.gateway.as_ref().map(Gateway::away),
                acceptors,
                admission: self.plan.admission(),
                storage: Box::new(StoreOf { store: Arc::clone(store), worker: id }),
                auth: auth.clone(),
                log: EventLog::default(),
            };
            let sharding = Sharding::new(self.plan.settings.shards, self.plan.workers);
            let (store, ready, core) = (Arc::clone(store), ready.clone(), cores.get(index).copied());
            self.threads.push(spawn(&format!("worker-{index}"), move || {
                if let Some(core) = core {
                    core_affinity::set_for_current(core);
                }
                run_worker(parts, store, sharding, &ready)
            })?);
        }
        drop(ready);
        for _ in self.workers.iter() {
            restored.recv().context("a worker ended while it restored what is stored")??;
        }
        Ok(())
    }

    fn start_greeters(&mut self) -> anyhow::Result<()> {
        let polls = std::mem::take(&mut self.greeter_polls);
        let acceptors = std::mem::take(&mut self.plan.listeners.greeters);
        for (index, (poll, acceptors)) in polls.into_iter().zip(acceptors).enumerate() {
            let greeter = Greeter::new(greeter::Parts {
                poll,
                clock: self.clock,
                mailbox: self.greeters[index].clone(),
                workers: Arc::clone(&self.workers),
                manners: Arc::clone(&self.plan.listeners.manners),
                acceptors,
                admission: self.plan.admission(),
                log: EventLog::default(),
                greetings_max: self.plan.greetings_max,
                deadline_ms: self.plan.settings.connect_deadline_ms,
            })?;
            self.threads.push(spawn(&format!("greeter-{index}"), move || Ok(greeter.run()?))?);
        }
        Ok(())
    }

    /// Watches the files, starts the `$SYS` tick, and is done.
    fn finish(self, config: &NodeConfig, store: Arc<Store>) -> anyhow::Result<RunningNode> {
        let Self { plan, workers, greeters, threads, gateway, control, .. } = self;
        let mut subjects = Subjects::new();
        plan.access.watch(&mut subjects, &workers);
        let tls = plan.listeners.by_listener();
        let standing = StandingNews::new(Arc::clone(plan.credentials.authenticator()), tls, Arc::clone(&workers));
        plan.credentials.watch(&mut subjects, &standing);
        plan.listeners.watch(&mut subjects, &standing);
        let reloader = subjects.watch(RELOAD_INTERVAL)?;
        let (ticking, stopped) = mpsc::channel();
        let interval = Duration::from_millis(config.sys_interval.as_millis());
        if !interval.is_zero() {
            let all = workers.iter().chain(&greeters).cloned().collect::<Vec<_>>();
            spawn("sys", move || {
                tick(interval, &all, &stopped);
                Ok(())
            })?;
        }
        Ok(RunningNode {
            bound: plan.listeners.bound,
            certificates: plan.listeners.tls,
            workers,
            greeters,
            threads: threads.into(),
            seats: plan.seats,
            reloader,
            store,
            control,
            gateway,
            _ticking: ticking,
        })
    }
}

/// Restores a worker and runs it. What goes wrong before it serves is sent to `ready`.
fn run_worker(
    mut parts: worker_thread::Parts,
    store: Arc<Store>,
    sharding: Sharding,
    ready: &mpsc::Sender<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let id = parts.id;
    let wanted = |shard| sharding.worker_of(shard) == id;
    let restored = store
        .recover(wanted, |key, value| parts.worker.restore(key, value))
        .context("what is stored cannot be read")
        .and_then(|()| {
            parts.worker.restored(parts.clock.now());
            Ok(WorkerThread::new(parts)?)
        });
    drop(store);
    match restored {
        Ok(worker) => {
            // Whoever starts the node waits for it.
            let _ = ready.send(Ok(()));
            Ok(worker.run()?)
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            Ok(())
        }
    }
}

/// One core for each worker, where there are enough. A single worker is left to the scheduler, which knows what else
/// runs.
fn cores_for(workers: usize) -> Vec<CoreId> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if workers > 1 && workers <= cores.len() { cores } else { Vec::new() }
}

fn mailboxes(count: usize, token: Token) -> anyhow::Result<(Vec<Poll>, Vec<Mailbox>)> {
    let mailbox = |_| {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), token)?;
        Ok((poll, Mailbox::new(waker)))
    };
    (0..count).map(mailbox).collect::<anyhow::Result<_>>()
}

/// Gives the node's counters to the worker that publishes them, the first, as often as the `$SYS` topics want them.
fn tick(interval: Duration, all: &[Mailbox], stopped: &mpsc::Receiver<()>) {
    while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
        let (stats, _) = pulse::sum(pulse::ask(all.iter(), interval));
        all[0].post(Letter::Input(Input::NodeStats(Box::new(stats))));
    }
}

/// Checking a password takes a core for some milliseconds; more threads would only take it from the workers.
const AUTH_THREADS: usize = 2;
/// A revoked right is gone within five seconds: this, and the core's next look at the sessions.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);
