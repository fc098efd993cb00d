//! Which process listens where.

use std::{io, net::SocketAddr};

use super::{
    args::{CONTROL, Scene, StartArgs},
    load::Market,
    ports::{Ports, local},
    weather::{Party, Place, Side, Weather},
};

/// All processes of a demo with their addresses. Everything but MQTT and the API is at ports that were free.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) scene: Scene,
    /// In the order of the table.
    pub(super) nodes: Vec<NodePlan>,
    /// Where control answers HTTP.
    pub(super) api: SocketAddr,
    /// Where control takes the streams of nodes. They come there through their entrances.
    pub(super) push: SocketAddr,
}

/// A node's addresses.
#[derive(Clone, Debug)]
pub(super) struct NodePlan {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) place: Place,
    pub(super) mqtt: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Its own address for other nodes.
    pub(super) home: SocketAddr,
    /// What it advertises: the relay.
    pub(super) face: SocketAddr,
    /// Where it finds control.
    pub(super) entrance: SocketAddr,
}

impl Plan {
    /// Finds an address for everything.
    ///
    /// # Errors
    /// A port that was asked for is taken, which is said in words.
    pub(super) fn new(args: &StartArgs, scene: Scene, ports: &mut Ports) -> Result<Self, String> {
        let none = |error: io::Error| format!("no free port: {error}");
        let mut nodes = Vec::new();
        for (nth, role) in scene.nodes.iter().enumerate() {
            let mqtt = match (args.mqtt_port, u16::try_from(nth)) {
                (0, _) | (_, Err(_)) => 0,
                (first, Ok(nth)) => {
                    first.checked_add(nth).ok_or("--mqtt-port leaves no room for so many nodes".to_owned())?
                }
            };
            nodes.push(NodePlan {
                name: role.name.clone(),
                region: scene.regions[role.region].clone(),
                place: Place { party: Party::Node(nth), region: role.region },
                mqtt: ports.asked(local(mqtt)).map_err(|error| {
                    format!("port {mqtt} for {} is not free: {error}\n  -> choose others with --mqtt-port", role.name)
                })?,
                admin: local(ports.free().map_err(none)?),
                home: local(ports.free().map_err(none)?),
                face: local(ports.free().map_err(none)?),
                entrance: local(ports.free().map_err(none)?),
            });
        }
        let api = ports
            .asked(args.api)
            .map_err(|error| format!("{} is not free: {error}\n  -> choose another address with --api", args.api))?;
        Ok(Self { scene, nodes, api, push: local(ports.free().map_err(none)?) })
    }

    /// The network of the scene.
    pub(super) fn weather(&self, seed: u64) -> Weather {
        let mut weather = Weather::calm(seed);
        self.scene.rtt.iter().for_each(|(regions, rtt)| weather.set_rtt(*regions, *rtt));
        self.scene.loss.iter().for_each(|(regions, loss)| weather.set_loss(*regions, *loss));
        weather
    }

    /// Where the clients of each region connect.
    pub(super) fn markets(&self) -> Vec<Market> {
        let of = |name: &String| {
            let nodes = self.nodes.iter().filter(|node| node.region == *name).map(|node| node.mqtt).collect();
            Market { name: name.clone(), nodes }
        };
        self.scene.regions.iter().map(of).collect()
    }

    /// The row of the node of this name.
    pub(super) fn node(&self, name: &str) -> Result<usize, String> {
        let names = || self.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.nodes.iter().position(|node| node.name == name);
        found.ok_or_else(|| format!("there is no node `{name}`; there are: {}", names()))
    }

    /// The region, node or control of this name.
    pub(super) fn side(&self, name: &str) -> Result<Side, String> {
        if name == CONTROL {
            return Ok(Side::Party(Party::Control));
        }
        if let Some(region) = self.scene.regions.iter().position(|region| region == name) {
            return Ok(Side::Region(region));
        }
        let regions = self.scene.regions.join(", ");
        let node = self.node(name).map_err(|error| format!("{error}; regions: {regions}; and {CONTROL}"))?;
        Ok(Side::Party(Party::Node(node)))
    }

    /// The name of a side.
    pub(super) fn name_of(&self, side: Side) -> &str {
        match side {
            Side::Region(region) => self.scene.regions.get(region).map_or("?", String::as_str),
            Side::Party(Party::Node(node)) => self.nodes.get(node).map_or("?", |node| node.name.as_str()),
            Side::Party(Party::Control) => CONTROL,
        }
    }
}

/// Control stands in the first region.
pub(super) const CONTROL_PLACE: Place = Place { party: Party::Control, region: 0 };

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::{super::args::DemoArgs, *};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArgs,
    }

    /// The plan of a command line.
    pub(in crate::demo) fn planned(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("demo").chain(line.split_whitespace());
        let args = Line::try_parse_from(words).unwrap().demo.start;
        Plan::new(&args, args.scene()?, &mut Ports::new(std::process::id()))
    }

    #[test]
    fn every_process_has_addresses_of_its_own() {
        let plan = planned("--regions eu:2,us:2 --mqtt-port 0 --api 127.0.0.1:0").unwrap();
        let of = |node: &NodePlan| [node.mqtt, node.admin, node.home, node.face, node.entrance];
        let mut all: Vec<SocketAddr> = plan.nodes.iter().flat_map(of).chain([plan.api, plan.push]).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(all.iter().all(|address| address.port() != 0));
    }

    #[test]
    fn ports_for_mqtt_follow_each_other_and_one_that_is_taken_is_said() {
        let first = Ports::new(77).free().unwrap();
        let plan = planned(&format!("--nodes 1 --mqtt-port {first} --api 127.0.0.1:0")).unwrap();
        assert_eq!(plan.nodes[0].mqtt, local(first));
        let _taken = std::net::TcpListener::bind(local(first)).unwrap();
        let error = planned(&format!("--nodes 1 --mqtt-port {first} --api 127.0.0.1:0")).unwrap_err();
        assert!(error.contains(&format!("port {first} for d1")) && error.contains("--mqtt-port"), "{error}");
        assert!(planned("--nodes 2 --mqtt-port 65535 --api 127.0.0.1:0").unwrap_err().contains("no room"));
    }

    #[test]
    fn sides_of_a_cut_are_found_by_name_and_named_again() {
        let plan = planned("--regions eu:1,us:1 --mqtt-port 0 --api 127.0.0.1:0").unwrap();
        for name in ["eu", "us", "eu1", "us1", "control"] {
            assert_eq!(plan.name_of(plan.side(name).unwrap()), name);
        }
        let error = plan.side("asia").unwrap_err();
        assert!(error.contains("eu1, us1") && error.contains("eu, us"), "{error}");
    }
}
