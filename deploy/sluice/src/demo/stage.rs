//! The running demo: its processes, from the first to the last, and what it is told to do with them.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sluice_service::config;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    args::{CONTROL, Rate},
    console::{Console, Row, table},
    files::Home,
    http,
    load::Load,
    plan::{CONTROL_PLACE, Plan},
    relay::{Face, Relay},
    remote::{Asked, Door, Order, Reply},
    service::Service,
    tunnel::{Entrance, Tunnels},
    weather::Weather,
};

/// Starts everything, does what it is told until it is to stop, and tidies up. `file` says to others where the demo is.
///
/// # Errors
/// A process did not start, in words.
pub(super) async fn play(plan: Plan, home: &Home, file: &Path, rate: Option<Rate>) -> Result<(), String> {
    let mut stop = Stop::new().map_err(|error| format!("signals: {error}"))?;
    let (sender, orders) = mpsc::channel(ORDERS_MAX);
    // From the start, so that the next demo can tidy up after this one if it is killed. What is asked before all is open
    // waits until it is.
    let door = Door::open(file.to_owned(), home.socket_dir(), home.temporary(), sender);
    let _door = door.map_err(|error| format!("{}: {error}", file.display()))?;
    let mut stage = Stage::set(plan, home).await?;
    let opened = tokio::select! {
        opened = stage.open() => opened.map(|()| true),
        () = stop.asked() => Ok(false),
    };
    if opened == Ok(true) {
        stage.run(orders, &mut stop, rate).await;
    }
    tokio::select! {
        () = stage.close() => {}
        () = stop.asked() => {}
    }
    stage.kill_all().await;
    opened.map(|_| ())
}

struct Stage<'a> {
    plan: Plan,
    home: &'a Home,
    control: Service,
    /// In the order of the plan.
    nodes: Vec<Service>,
    weather: Arc<Mutex<Weather>>,
    load: Option<Load>,
    console: Console,
    _relay: Relay,
    _tunnels: Tunnels,
}

impl<'a> Stage<'a> {
    /// Opens the network; no process runs yet.
    async fn set(plan: Plan, home: &'a Home) -> Result<Self, String> {
        let executable = std::env::current_exe().map_err(|error| format!("where is this executable? {error}"))?;
        let weather = Arc::new(Mutex::new(plan.weather(fastrand::u64(..))));
        let (mut faces, mut entrances) = (Vec::new(), Vec::new());
        for node in &plan.nodes {
            let taken = |error| format!("the network of {} cannot be opened: {error}", node.name);
            faces.push(Face::open(node.face, node.home, node.place).map_err(taken)?);
            let listener = TcpListener::bind(node.entrance).await.map_err(taken)?;
            entrances.push(Entrance { listener, node: node.place });
        }
        let service = |role, name: &str| Service::new(&executable, role, name, &home.config(name), home.log(name));
        Ok(Self {
            control: service("control", CONTROL),
            nodes: plan.nodes.iter().map(|node| service("node", &node.name)).collect(),
            _relay: Relay::start(faces, &weather),
            _tunnels: Tunnels::start(entrances, (plan.push, CONTROL_PLACE), &weather),
            weather,
            load: None,
            console: Console::new(),
            plan,
            home,
        })
    }

    /// Starts control, lets every node join, and says where everything is.
    async fn open(&mut self) -> Result<(), String> {
        let start = Instant::now();
        self.home.write_control(&self.plan).map_err(|error| self.disk(&error))?;
        launch(&mut self.control, self.plan.api).await?;
        let token = self.api_token().await?;
        let workers = thread::available_parallelism().map_or(1, |cpus| (cpus.get() / self.nodes.len()).max(1));
        for node in &self.plan.nodes {
            let join = join_token(&self.plan, &node.name, &token).await?;
            self.home.write_node(node, workers, &join).map_err(|error| self.disk(&error))?;
        }
        for node in &mut self.nodes {
            node.start().map_err(|error| format!("{} cannot be started: {error}", node.name()))?;
        }
        for (node, plan) in self.nodes.iter_mut().zip(&self.plan.nodes) {
            ready(node, plan.admin).await?;
        }
        let rows = self.linked_rows().await;
        self.console.say(&table(&rows));
        self.console.say(&self.invitation(&token, start.elapsed()));
        Ok(())
    }

    async fn run(&mut self, mut orders: mpsc::Receiver<Asked>, stop: &mut Stop, rate: Option<Rate>) {
        if let Some(Rate(rate)) = rate {
            let markets = self.plan.markets();
            tokio::select! {
                load = Load::start(rate, &markets) => self.load = Some(load),
                () = stop.asked() => return,
            }
        }
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.asked() => return,
                Some((order, reply)) = orders.recv() => {
                    let answer = tokio::select! {
                        answer = self.obey(order) => answer,
                        () = stop.asked() => return,
                    };
                    // Who asked may have gone.
                    let _ = reply.send(answer);
                }
                _ = ticks.tick() => self.look(),
            }
        }
    }

    /// Does what is asked.
    async fn obey(&mut self, order: Order) -> Reply {
        let result = match order {
            Order::Kill { node } => self.kill(&node).await,
            Order::Start { node } => self.start(&node).await,
            Order::Partition { a, b, span_ms } => self.cut((&a, &b), span_ms),
            Order::Heal => Ok(match locked(&self.weather).heal(Instant::now()) {
                0 => "nothing was cut".to_owned(),
                1 => "1 cut is healed".to_owned(),
                cuts => format!("{cuts} cuts are healed"),
            }),
            Order::Status => Ok(self.status().await),
        };
        match result {
            Ok(text) => Reply::Done(text),
            Err(why) => Reply::Refused(why),
        }
    }

    async fn kill(&mut self, name: &str) -> Result<String, String> {
        let (service, _) = self.service(name)?;
        if !service.is_running() {
            return Err(format!("{name} does not run"));
        }
        service.kill().await;
        self.console.say(&format!("{name} is killed"));
        Ok(format!("{name} is killed; `sluice demo start {name}` brings it back"))
    }

    async fn start(&mut self, name: &str) -> Result<String, String> {
        let (service, address) = self.service(name)?;
        if service.is_running() {
            return Err(format!("{name} runs"));
        }
        let start = Instant::now();
        launch(service, address).await?;
        let text = format!("{name} is ready again after {:.1} s", start.elapsed().as_secs_f64());
        self.console.say(&text);
        Ok(text)
    }

    fn cut(&mut self, (a, b): (&str, &str), span_ms: Option<u64>) -> Result<String, String> {
        let sides = (self.plan.side(a)?, self.plan.side(b)?);
        if self.plan.node(a).is_ok() && a == b {
            return Err(format!("{a} needs no network to reach itself"));
        }
        let span = span_ms.map(config::Duration::millis);
        locked(&self.weather).cut(sides, span.map(|span| Instant::now() + span.as_std()));
        let until = span.map_or_else(|| "until `sluice demo heal`".to_owned(), |span| format!("for {span}"));
        let text = format!("nothing passes between {a} and {b} {until}");
        self.console.say(&text);
        Ok(text)
    }

    /// The table, the cuts and the load.
    async fn status(&self) -> String {
        let mut text = table(&self.rows().await);
        let now = Instant::now();
        for ((a, b), until) in locked(&self.weather).cuts(now) {
            let (a, b) = (self.plan.name_of(a), self.plan.name_of(b));
            let rest = until.map_or_else(String::new, |until| format!(" for {} s more", (until - now).as_secs() + 1));
            text += &format!("\nnothing passes between {a} and {b}{rest}");
        }
        if !self.control.is_running() {
            text += "\ncontrol does not run: nodes go on with what they know";
        }
        if let Some(load) = &self.load {
            text += &format!("\nload: {}", load.tally());
        }
        text
    }

    /// Tells who ended by itself, and how the load is doing.
    fn look(&mut self) {
        for service in self.nodes.iter_mut().chain([&mut self.control]) {
            if let Some(status) = service.ended() {
                let (name, words) = (service.name(), service.last_words());
                self.console.say(&format!("{name} has ended by itself ({status}):\n{words}"));
            }
        }
        if let Some(load) = &self.load {
            self.console.show(&format!("load: {}", load.tally()));
        }
    }

    /// Ends everything in order: the load first, so that its account is complete.
    async fn close(&mut self) {
        if let Some(load) = self.load.take() {
            self.console.say("waiting for what is under way; interrupt again to end at once");
            let sum = load.finish().await;
            self.console.say(&format!("load in all: {sum}"));
        }
        self.nodes.iter().for_each(Service::ask_to_end);
        for node in &mut self.nodes {
            node.end(END_PATIENCE).await;
        }
        self.control.ask_to_end();
        self.control.end(END_PATIENCE).await;
    }

    async fn kill_all(&mut self) {
        for service in self.nodes.iter_mut().chain([&mut self.control]) {
            service.kill().await;
        }
    }

    /// A process by name, and where it answers operators.
    fn service(&mut self, name: &str) -> Result<(&mut Service, SocketAddr), String> {
        if name == CONTROL {
            return Ok((&mut self.control, self.plan.api));
        }
        let row = self.plan.node(name)?;
        Ok((&mut self.nodes[row], self.plan.nodes[row].admin))
    }

    async fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (node, service) in self.plan.nodes.iter().zip(&self.nodes) {
            rows.push(Row {
                name: node.name.clone(),
                region: node.region.clone(),
                mqtt: node.mqtt.to_string(),
                peers: peers(node.admin).await,
                state: if service.is_running() { state(node.admin).await } else { "down".into() },
            });
        }
        rows
    }

    /// The table once every node has a link to every other, or after some time.
    async fn linked_rows(&self) -> Vec<Row> {
        let deadline = Instant::now() + LINK_PATIENCE;
        loop {
            let rows = self.rows().await;
            if rows.iter().all(|row| row.peers == Some(rows.len() - 1)) || Instant::now() > deadline {
                return rows;
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// The token that control has written.
    async fn api_token(&self) -> Result<String, String> {
        let path = self.home.api_token();
        let deadline = Instant::now() + LINK_PATIENCE;
        loop {
            match std::fs::read_to_string(&path) {
                Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
                Ok(_) | Err(_) if Instant::now() < deadline => sleep(LOOK_INTERVAL).await,
                Ok(_) => return Err(format!("{} is empty", path.display())),
                Err(error) => return Err(format!("control wrote no {}: {error}", path.display())),
            }
        }
    }

    fn disk(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.home.path().display())
    }

    fn invitation(&self, token: &str, took: Duration) -> String {
        let (api, first) = (self.plan.api, &self.plan.nodes[0]);
        let (last, token_file) = (self.plan.nodes.last().unwrap_or(first), self.home.api_token());
        let mut tries = vec![
            format!("mosquitto_sub -p {} -v -t 'demo/#'", last.mqtt.port()),
            format!("mosquitto_pub -p {} -q 1 -t demo/hello -m hi", first.mqtt.port()),
            format!("sluice demo kill {0}    and then    sluice demo start {0}", last.name),
        ];
        if let [a, b, ..] = self.plan.scene.regions.as_slice() {
            tries.push(format!("sluice demo partition {a} {b} 60s"));
        }
        let kept = if self.home.is_temporary() { "gone at the end" } else { "kept" };
        format!(
            "Dashboard  http://{api}/?token={token}\n\
             API        http://{api}/api/v1    token in {}\n\
             Files      {} ({kept})\n\
             Try:       {}\n\
             ready in {:.1} s; Ctrl-C ends it",
            token_file.display(),
            self.home.path().display(),
            tries.join("\n           "),
            took.as_secs_f64()
        )
    }
}

/// Starts a process and waits until it says that it is ready.
async fn launch(service: &mut Service, address: SocketAddr) -> Result<(), String> {
    service.start().map_err(|error| format!("{} cannot be started: {error}", service.name()))?;
    ready(service, address).await
}

async fn ready(service: &mut Service, address: SocketAddr) -> Result<(), String> {
    let deadline = Instant::now() + READY_PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = service.ended() {
            return Err(format!("{} ended ({status}):\n{}", service.name(), service.last_words()));
        }
        if http::get(address, "/ready").await.is_ok_and(|answer| answer.status == 200) {
            return Ok(());
        }
        sleep(LOOK_INTERVAL).await;
    }
    Err(format!("{} is not ready after {} s:\n{}", service.name(), READY_PATIENCE.as_secs(), service.last_words()))
}

/// A token with which the node of this name joins.
async fn join_token(plan: &Plan, name: &str, token: &str) -> Result<String, String> {
    let refused = |why: &str| format!("control gives no token to {name}: {why}");
    let answer = http::post(plan.api, "/api/v1/node-tokens", token).await;
    let answer = answer.map_err(|error| refused(&error.to_string()))?;
    let parsed: Option<Value> = serde_json::from_str(&answer.body).ok();
    match parsed.as_ref().and_then(|body| body["token"].as_str()) {
        Some(token) if (200..300).contains(&answer.status) => Ok(token.to_owned()),
        Some(_) | None => Err(refused(&format!("{} {}", answer.status, answer.body))),
    }
}

/// What a node says of itself in a word.
async fn state(admin: SocketAddr) -> String {
    let Ok(answer) = http::get(admin, "/ready").await else { return "silent".into() };
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match (answer.status, body["mode"].as_str()) {
        (200, Some("nominal") | None) => "ready".into(),
        (_, Some(mode)) => mode.to_owned(),
        (_, None) => "not ready".into(),
    }
}

/// To how many nodes a node has a link: it has a round trip for each.
async fn peers(admin: SocketAddr) -> Option<usize> {
    let answer = http::get(admin, "/metrics").await.ok().filter(|answer| answer.status == 200)?;
    Some(answer.body.lines().filter(|line| line.starts_with(PEER_METRIC)).count())
}

fn locked(weather: &Mutex<Weather>) -> MutexGuard<'_, Weather> {
    weather.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The signals that end a demo.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> io::Result<Self> {
        let [interrupt, terminate, hangup] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Ok(Self([signal(interrupt)?, signal(terminate)?, signal(hangup)?]))
    }

    /// Waits for one.
    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

const PEER_METRIC: &str = "mqtt_peer_round_trip_seconds{";
const ORDERS_MAX: usize = 8;
const TICK: Duration = Duration::from_secs(1);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// A machine may be busy with other things, and many nodes start at once.
const READY_PATIENCE: Duration = Duration::from_secs(60);
const LINK_PATIENCE: Duration = Duration::from_secs(5);
/// A node disconnects its clients within two seconds and closes its store.
const END_PATIENCE: Duration = Duration::from_secs(10);
