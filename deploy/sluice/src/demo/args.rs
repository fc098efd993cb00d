//! The command line of `sluice demo`, and what it says.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Args, Subcommand};
use sluice_service::config;

/// Arguments of `sluice demo`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    pub(super) command: Option<DemoCommand>,
    #[command(flatten)]
    pub(super) start: StartArgs,
}

/// What is asked of the demo that runs.
#[derive(Subcommand)]
pub(super) enum DemoCommand {
    /// Kills a node as a power cut would (kill -9)
    Kill {
        /// Its name in the table, such as d2
        node: String,
    },
    /// Starts a node again that was killed or ended
    Start {
        /// Its name in the table
        node: String,
    },
    /// Cuts the links between two regions, or two nodes, or one of each; `control` is the control process
    Partition {
        /// A region, a node, or `control`
        a: String,
        /// A region, a node, or `control`
        b: String,
        /// How long, such as 60s; without it until `sluice demo heal`
        #[arg(value_name = "TIME")]
        span: Option<config::Duration>,
    },
    /// Mends all links that were cut
    Heal,
    /// Shows the nodes, the links that are cut, and the load
    Status,
}

/// How a demo starts.
#[derive(Args, Clone, Debug)]
pub(super) struct StartArgs {
    /// How many nodes, spread over the regions in turn; 3 without it
    #[arg(long, value_name = "N")]
    pub(super) nodes: Option<usize>,
    /// Regions, each with its number of nodes or without: `eu:3,us:3`, or `--nodes 6 --regions eu,us`
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(super) regions: Vec<RegionArg>,
    /// The round trip between two regions, such as `eu-us=80ms`; may be given more than once
    #[arg(long, value_name = "PAIR=TIME")]
    pub(super) rtt: Vec<PairArg<config::Duration>>,
    /// The share of packets that is lost between two regions, such as `eu-us=1%`; may be given more than once
    #[arg(long, value_name = "PAIR=PERCENT")]
    pub(super) loss: Vec<PairArg<Percent>>,
    /// Sensors publish so many messages a second at QoS 1, and every region subscribes to all of them
    #[arg(long, value_name = "N/s")]
    pub(super) load: Option<Rate>,
    /// Keeps configuration, logs and what is stored in this directory; without it they are gone at the end
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// The port of the first node for MQTT; the other nodes have the ports that follow. 0 = any free ports
    #[arg(long, value_name = "PORT", default_value_t = 1883)]
    pub(super) mqtt_port: u16,
    /// Where control answers the HTTP API; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 7080)))]
    pub(super) api: SocketAddr,
}

/// A region of `--regions`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RegionArg {
    name: String,
    nodes: Option<usize>,
}

/// A value for a pair of regions. Names may contain `-`, so that the pair is taken apart when the regions are known.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct PairArg<T> {
    pair: String,
    value: T,
}

/// A share of packets, from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Percent(pub(super) f64);

/// Messages in a second, from 1 to [`RATE_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rate(pub(super) u32);

/// What shall be shown: which nodes stand where, and what lies between the regions.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Scene {
    /// In the order in which they were given; at least one.
    pub(super) regions: Vec<String>,
    /// In the order of the table.
    pub(super) nodes: Vec<Role>,
    /// Round trips between regions, by their places in `regions`.
    pub(super) rtt: Vec<((usize, usize), Duration)>,
    /// Shares of packets that are lost.
    pub(super) loss: Vec<((usize, usize), f64)>,
}

/// A node of a scene.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Role {
    /// Unlike that of every other node and region.
    pub(super) name: String,
    /// Its place in [`Scene::regions`].
    pub(super) region: usize,
}

impl StartArgs {
    /// Understands which nodes, which regions and what between them.
    pub(super) fn scene(&self) -> Result<Scene, String> {
        let counts = self.counts()?;
        let regions: Vec<String> = counts.iter().map(|(name, _)| name.clone()).collect();
        let prefixed = regions.len() > 1;
        let mut nodes = Vec::new();
        for (region, (name, count)) in counts.iter().enumerate() {
            let prefix = if prefixed { name.as_str() } else { "d" };
            nodes.extend((1..=*count).map(|nth| Role { name: format!("{prefix}{nth}"), region }));
        }
        let names = regions.iter().chain(nodes.iter().map(|node| &node.name)).map(String::as_str);
        let mut seen = BTreeSet::from([CONTROL]);
        for name in names {
            if !seen.insert(name) {
                return Err(format!("two of the regions, the nodes and control would be called `{name}`"));
            }
        }
        let rtt = self
            .rtt
            .iter()
            .map(|arg| Ok((arg.regions(&regions)?, arg.value.as_std())))
            .collect::<Result<_, String>>()?;
        let loss =
            self.loss.iter().map(|arg| Ok((arg.regions(&regions)?, arg.value.0))).collect::<Result<_, String>>()?;
        Ok(Scene { regions, nodes, rtt, loss })
    }

    /// Each region with its number of nodes.
    fn counts(&self) -> Result<Vec<(String, usize)>, String> {
        let alone = [RegionArg { name: "a".into(), nodes: None }];
        let regions = if self.regions.is_empty() { &alone[..] } else { &self.regions };
        let said = regions.iter().filter(|region| region.nodes.is_some()).count();
        let counts: Vec<(String, usize)> = if said == 0 {
            let all = self.nodes.unwrap_or(NODES_DEFAULT.max(regions.len()));
            let share = |nth: usize| all / regions.len() + usize::from(nth < all % regions.len());
            regions.iter().enumerate().map(|(nth, region)| (region.name.clone(), share(nth))).collect()
        } else if said == regions.len() {
            regions.iter().map(|region| (region.name.clone(), region.nodes.unwrap_or(0))).collect()
        } else {
            return Err("give a number of nodes to each region, or to none".into());
        };
        let all: usize = counts.iter().map(|(_, count)| count).sum();
        if self.nodes.is_some_and(|nodes| nodes != all) {
            return Err(format!("--nodes and --regions disagree: the regions have {all} nodes"));
        }
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("the region `{name}` would have no node"));
        }
        if all > NODES_MAX {
            return Err(format!("{all} nodes are too many for one machine: at most {NODES_MAX}"));
        }
        Ok(counts)
    }
}

impl<T> PairArg<T> {
    /// The two regions that the pair names, the smaller place first.
    fn regions(&self, regions: &[String]) -> Result<(usize, usize), String> {
        let place = |name: &str| regions.iter().position(|region| region == name);
        let splits = self.pair.match_indices('-').map(|(at, _)| (&self.pair[..at], &self.pair[at + 1..]));
        let mut found = splits.filter_map(|(a, b)| Some((place(a)?, place(b)?)));
        match (found.next(), found.next()) {
            (Some((a, b)), None) => Ok((a.min(b), a.max(b))),
            (None, _) => Err(format!("`{}` names no two regions; there are: {}", self.pair, regions.join(", "))),
            (Some(_), Some(_)) => Err(format!("`{}` can be read in two ways", self.pair)),
        }
    }
}

impl<T: FromStr<Err: ToString>> FromStr for PairArg<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pair, value) = text.split_once('=').ok_or("this is no PAIR=VALUE")?;
        Ok(Self { pair: pair.into(), value: value.parse().map_err(|error: T::Err| error.to_string())? })
    }
}

impl FromStr for RegionArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, nodes) = match text.split_once(':') {
            Some((name, nodes)) => {
                let nodes = nodes.parse().map_err(|_| format!("`{nodes}` is no number of nodes"))?;
                (name, Some(nodes))
            }
            None => (text, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !(1..=REGION_BYTES_MAX).contains(&name.len()) || !name.chars().all(plain) {
            return Err(format!("`{name}` is no name of a region: 1 to {REGION_BYTES_MAX} letters, digits and dashes"));
        }
        Ok(Self { name: name.into(), nodes })
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match number {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err(format!("`{text}` is no share such as 1% or 0.5%")),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix("/s").unwrap_or(text).trim().parse() {
            Ok(rate) if (1..=RATE_MAX).contains(&rate) => Ok(Self(rate)),
            _ => Err(format!("`{text}` is no rate from 1/s to {RATE_MAX}/s")),
        }
    }
}

/// What the control process is called beside nodes and regions.
pub(super) const CONTROL: &str = "control";
const NODES_DEFAULT: usize = 3;
/// Each is a process with its own store.
const NODES_MAX: usize = 32;
const REGION_BYTES_MAX: usize = 32;
/// Above it, the generator and not the cluster would be what is watched.
const RATE_MAX: u32 = 100_000;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArgs,
    }

    fn parsed(line: &str) -> Result<DemoArgs, String> {
        let words = std::iter::once("demo").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.demo).map_err(|error| error.to_string())
    }

    fn scene(line: &str) -> Result<Scene, String> {
        parsed(line)?.start.scene()
    }

    fn names(scene: &Scene) -> String {
        let name = |node: &Role| format!("{}@{}", node.name, scene.regions[node.region]);
        scene.nodes.iter().map(name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn without_arguments_three_nodes_stand_in_one_region() {
        let scene = scene("").unwrap();
        assert_eq!(names(&scene), "d1@a d2@a d3@a");
        assert_eq!((scene.rtt, scene.loss), (vec![], vec![]));
    }

    #[test]
    fn regions_have_nodes_of_their_own_or_share_a_number_in_turn() {
        assert_eq!(names(&scene("--regions eu:2,us:1").unwrap()), "eu1@eu eu2@eu us1@us");
        assert_eq!(names(&scene("--nodes 3 --regions eu,us").unwrap()), "eu1@eu eu2@eu us1@us");
        assert_eq!(names(&scene("--nodes 2").unwrap()), "d1@a d2@a");
        assert_eq!(scene("--regions a,b,c,d").unwrap().nodes.len(), 4, "one for each at least");
    }

    #[test]
    fn the_network_between_regions_is_read_whatever_the_order_and_the_dashes() {
        let scene = scene("--regions eu-west:1,us:1 --rtt us-eu-west=80ms --loss eu-west-us=0.5%").unwrap();
        assert_eq!(scene.rtt, [((0, 1), Duration::from_millis(80))]);
        assert_eq!(scene.loss, [((0, 1), 0.005)]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        for (line, says) in [
            ("--regions eu:3,us", "to each region, or to none"),
            ("--nodes 5 --regions eu:3,us:3", "disagree: the regions have 6 nodes"),
            ("--nodes 1 --regions eu,us", "`us` would have no node"),
            ("--nodes 0", "`a` would have no node"),
            ("--nodes 33", "at most 32"),
            ("--regions eu:1,eu:1", "called `eu`"),
            ("--regions a:1,a1:1", "called `a1`"),
            ("--regions control:1,b:1", "called `control`"),
            ("--regions eu:1,us:1 --rtt eu-asia=80ms", "there are: eu, us"),
            ("--regions a:1,a-a:1 --rtt a-a-a=1ms", "in two ways"),
            ("--regions eu:1,us:1 --rtt eu-us=80", "with a unit"),
            ("--regions eu:1,us:1 --loss eu-us=1", "no share"),
            ("--regions eu:1,us:1 --loss eu-us=101%", "no share"),
            ("--regions e_u:1", "letters, digits and dashes"),
            ("--load 0/s", "no rate"),
            ("--load many", "no rate"),
            ("kill", "required"),
            ("--nodes 3 kill d1", "cannot be used with"),
        ] {
            let error = scene(line).expect_err(line);
            assert!(error.contains(says), "{line}: {error}");
        }
    }

    #[test]
    fn a_running_demo_is_spoken_to_by_subcommands() {
        let command = |line: &str| parsed(line).unwrap().command.unwrap();
        assert!(matches!(command("kill d2"), DemoCommand::Kill { node } if node == "d2"));
        assert!(matches!(command("partition eu us"), DemoCommand::Partition { span: None, .. }));
        let DemoCommand::Partition { a, b, span: Some(span) } = command("partition eu1 control 60s") else {
            panic!("a partition with a time");
        };
        assert_eq!((a.as_str(), b.as_str(), span.as_secs()), ("eu1", "control", 60));
        assert_eq!(parsed("--load 2000/s").unwrap().start.load, Some(Rate(2000)));
        assert_eq!(parsed("--load 50").unwrap().start.load, Some(Rate(50)));
    }
}
