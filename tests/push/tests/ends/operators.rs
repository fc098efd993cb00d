//! What operators see of real nodes at a real replica of control, store and planner included.

use std::{collections::VecDeque, path::Path, time::Duration};

use sluice_controlplane_ctl::{
    failure::{Exit, Failure},
    http,
    request::{Answer, Request},
    run::{Run, parse},
    target::Target,
    world::World,
};
use sluice_controlplane_server::{ControlServer, config::ControlConfig};
use sluice_tests_push::{TestNode, eventually};
use tokio::runtime::Runtime;

/// A replica, and whoever asks it.
struct Cluster {
    operator: Operator,
    control: ControlServer,
    runtime: Runtime,
    dir: tempfile::TempDir,
}

/// `sluicectl` without a terminal: what it shows is kept.
struct Operator {
    control: http::Control,
    shown: String,
}

impl World for Operator {
    fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.control.send(request)
    }

    fn confirm(&mut self, _: &str) -> Result<bool, Failure> {
        Ok(true)
    }

    fn note(&mut self, _: &str) {}

    fn show(&mut self, text: &str) -> Result<(), Failure> {
        self.shown += text;
        Ok(())
    }

    fn clear(&mut self) {}

    fn pause(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn read(&mut self, path: &Path) -> Result<String, Failure> {
        Err(Failure::new(Exit::Config, format!("{}: no files here", path.display())))
    }

    fn write(&mut self, _: &Path, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

impl Cluster {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ControlConfig::default();
        config.control.name = "c1".into();
        config.control.data = dir.path().to_owned();
        config.nodes.bind = "127.0.0.1:0".parse().unwrap();
        config.http.bind = "127.0.0.1:0".parse().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let control = runtime.block_on(ControlServer::start(&config)).unwrap();
        let token = std::fs::read_to_string(dir.path().join("bootstrap-token")).unwrap();
        let servers = vec![format!("http://{}", control.http())];
        let target = Target { servers, token: Some(token.trim().into()), ca: None };
        let operator =
            Operator { control: http::Control::new(&target, Duration::from_secs(30)).unwrap(), shown: String::new() };
        let mut cluster = Self { operator, control, runtime, dir };
        eventually("a leader", || cluster.run("status").is_ok_and(|(_, shown)| shown.contains("c1 leads")));
        cluster
    }

    /// What a command shows, and its code.
    fn run(&mut self, line: &str) -> Result<(Exit, String), Failure> {
        self.operator.shown.clear();
        let words = std::iter::once("sluicectl").chain(line.split(' ')).map(Into::into);
        let command = parse(words).unwrap().command;
        let exit = Run { world: &mut self.operator, has_colour: false }.command(command)?;
        Ok((exit, std::mem::take(&mut self.operator.shown)))
    }

    fn shows(&mut self, line: &str) -> String {
        self.run(line).unwrap_or_else(|failure| panic!("{line}: {failure}")).1
    }

    fn node(&mut self) -> TestNode {
        let token = self.shows("nodes token create");
        let address = self.control.nodes().to_string().parse().unwrap();
        let mut node = TestNode::join(&[address], token.trim()).unwrap();
        let address = self.control.nodes().to_string().parse().unwrap();
        node.start(&[address]);
        node
    }
}

#[test]
fn operators_see_real_nodes_as_they_are_and_change_what_is_wanted_of_them() {
    let mut cluster = Cluster::start();
    let mut nodes: VecDeque<TestNode> = (0..2).map(|_| cluster.node()).collect();
    let ids: Vec<String> = nodes.iter().map(|node| node.id().to_string()).collect();
    eventually("both nodes hold everything", || {
        let shown = cluster.shows("nodes sync");
        ids.iter().all(|id| shown.contains(id)) && shown.matches("SYNCED").count() == 8
    });
    let listed = cluster.shows("nodes ls -o csv");
    assert!(ids.iter().all(|id| listed.contains(id)) && listed.lines().count() == 3, "{listed}");
    assert!(cluster.shows("status").contains("all of 2 connected nodes in sync"));
    for line in ["check", "links ls", "links matrix", "placement show", "placement show --by-node", "nodes ls -o wide"]
    {
        assert!(!cluster.shows(line).is_empty(), "{line}");
    }
    let described = cluster.shows(&format!("nodes label {} rack=r1 owner=anna", ids[0]));
    assert!(described.contains("rack=r1"), "{described}");
    let described = cluster.shows("nodes label rack=r1 owner-");
    assert!(described.contains("rack=r1") && !described.contains("anna"), "{described}");
    assert!(cluster.shows("nodes cordon rack=r1").contains("cordoned"));
    assert!(cluster.shows("check -o short").contains(&format!("{} is cordoned", ids[0])));
    assert!(cluster.shows("nodes uncordon rack=r1").contains("active"));
    assert!(cluster.shows("nodes weight rack=r1 200").contains("200"));
    assert!(cluster.shows(&format!("placement simulate --kill {}", ids[1])).contains(&format!("Lost: {}", ids[1])));
    nodes.pop_back().unwrap().stop();
    eventually("the node is missed", || {
        let (exit, shown) = cluster.run("check -o short").unwrap();
        exit == Exit::Pending && shown.contains(&format!("× every node is connected: {}", ids[1]))
    });
    cluster.shows(&format!("nodes remove {} --lost", ids[1]));
    eventually("the node is forgotten", || !cluster.shows("nodes sync").contains(&ids[1]));
    let Cluster { control, runtime, dir, .. } = cluster;
    runtime.block_on(control.stop());
    drop(dir);
}
