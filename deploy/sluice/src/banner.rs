//! What a node prints when it serves: where clients come in, who may, and who can reach it.

use std::fmt::Write as _;

use sluice_dataplane_server::{
    Bound,
    config::{Bind, Listener, NodeConfig, OpenTo, Protocol, ProxyProtocol},
};

/// A line for each listener and one about who can reach them. `bound` are the addresses they really have.
pub(crate) fn listeners(config: &NodeConfig, bound: Option<&[Bound]>) -> String {
    let rows: Vec<[String; 3]> = config
        .listeners
        .iter()
        .enumerate()
        .map(|(nth, listener)| {
            let bound = bound.and_then(|bound| bound.get(nth));
            let bind = bound.map_or(&listener.bind, |bound| &bound.bind);
            let name = bound.map_or_else(|| listener.label(None), |bound| bound.name.clone());
            [name, url(listener, bind), manners(config, listener)]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, urls) = (width(0), width(1));
    let mut text = String::new();
    for [name, url, manners] in &rows {
        let _ = writeln!(text, "  {name:names$}  {url:urls$}  {manners}");
    }
    let _ = writeln!(text, "reachable from: {}", reach(config));
    text
}

/// The address as clients write it.
pub(crate) fn url(listener: &Listener, bind: &Bind) -> String {
    let scheme = match (listener.protocol, listener.tls.is_some()) {
        (Protocol::Mqtt, false) => "mqtt",
        (Protocol::Mqtt, true) => "mqtts",
        (Protocol::Ws, false) => "ws",
        (Protocol::Ws, true) => "wss",
    };
    match (bind, listener.protocol) {
        (Bind::Unix(_), _) => bind.to_string(),
        (Bind::Tcp(address), Protocol::Mqtt) => format!("{scheme}://{address}"),
        (Bind::Tcp(address), Protocol::Ws) => format!("{scheme}://{address}{}", listener.websocket().path),
    }
}

/// What a listener asks of clients.
fn manners(config: &NodeConfig, listener: &Listener) -> String {
    let who = match config.open_to(listener) {
        OpenTo::Authenticated => "credentials required",
        OpenTo::Certified => "client certificate required",
        OpenTo::Anyone | OpenTo::ThisMachine | OpenTo::Unsaid => "anyone",
    };
    let tls = if listener.tls.is_some() { "TLS" } else { "no TLS" };
    let proxy = match listener.proxy_protocol {
        ProxyProtocol::Off => "",
        ProxyProtocol::Optional => ", PROXY optional",
        ProxyProtocol::Required => ", PROXY required",
    };
    let packet = listener.max_packet_size.unwrap_or(config.mqtt.max_packet_size);
    format!("{who}, {tls}, packets up to {packet}{proxy}")
}

fn reach(config: &NodeConfig) -> &'static str {
    match config.listeners.iter().filter(|listener| !listener.bind.is_local()).count() {
        0 => "this machine only",
        all if all == config.listeners.len() => "other machines",
        _ => "other machines, but not all listeners",
    }
}
