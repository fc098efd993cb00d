//! What the keys of a file say together.

use std::{collections::BTreeMap, ops::RangeInclusive};

use sluice_cluster::{ADDRESSES_MAX, Address, ClientAddress, WEIGHT_MAX};
use sluice_dataplane_auth::config::StepConfig;
use sluice_dataplane_core::OUTBOUND_WINDOW_MAX;

use super::{
    Bind, ClientAuth, KeyPath, Listener, ListenerAuth, NodeConfig, OpenTo, Problem, Protocol, ProxyProtocol, Tls,
    WORKERS_MAX, access, top,
};

/// Everything that is wrong with a configuration that could be read.
pub(super) fn problems(config: &NodeConfig) -> Vec<Problem> {
    let mut found = Found::default();
    found.listeners(config);
    found.auth(config);
    found.mqtt(config);
    found.cluster(config);
    found.rest(config);
    found.0
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn say(&mut self, path: KeyPath, message: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Problem::new(path, message).hint(hint));
    }

    fn within(&mut self, path: KeyPath, value: u64, bounds: RangeInclusive<u64>) {
        if !bounds.contains(&value) {
            let (least, most) = bounds.into_inner();
            self.0.push(Problem::new(path, format!("{value} is not between {least} and {most}")));
        }
    }

    fn listeners(&mut self, config: &NodeConfig) {
        let all = top("listeners");
        if config.listeners.is_empty() {
            self.say(
                all.clone(),
                "no listener: no client could come in",
                "add an entry such as - bind: localhost:1883",
            );
        }
        let mut addresses = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (nth, listener) in config.listeners.iter().enumerate() {
            let at = all.index(nth);
            let bind = listener.bind.to_string();
            if listener.bind.port() != Some(0)
                && let Some(first) = addresses.insert(bind.clone(), nth)
            {
                let message = format!("listeners[{first}] is at {bind} already");
                self.say(at.key("bind"), message, "remove one, or change its port");
            }
            let name = listener.label(None);
            if listener.bind.port() != Some(0)
                && let Some(first) = names.insert(name.clone(), nth)
            {
                let key = if listener.name.is_some() { at.key("name") } else { at.key("bind") };
                let message = format!("listeners[{first}] has the name {name} already");
                self.say(key, message, "give them different names with name:");
            }
            self.who_may_come_in(config, listener, &at);
            self.websocket(listener, &at);
            self.proxy(listener, &at);
            if let Some(tls) = &listener.tls {
                self.tls(listener, tls, &at.key("tls"));
            }
            if let Some(size) = listener.max_packet_size {
                self.within(at.key("max_packet_size"), size.0, PACKET_BYTES);
            }
            let certificates = listener.tls.as_ref().is_some_and(|tls| tls.client_auth != ClientAuth::None);
            if listener.identity_as_username && !certificates {
                let message = "identity_as_username, but clients show no certificate here";
                self.say(at.key("identity_as_username"), message, "add tls.client_auth: required, or remove it");
            }
        }
    }

    fn who_may_come_in(&mut self, config: &NodeConfig, listener: &Listener, at: &KeyPath) {
        let bind = &listener.bind;
        let required = listener.auth == Some(ListenerAuth::Required);
        if required && listener.allow_anonymous == Some(true) {
            let message = format!("listener {bind} says both auth: required and allow_anonymous: true");
            return self.say(at.key("allow_anonymous"), message, "remove one of the two lines");
        }
        match config.open_to(listener) {
            OpenTo::Unsaid => {
                let message = format!("listener {bind} accepts anyone");
                let hint = if listener.allow_anonymous == Some(false) {
                    "add an auth.chain that checks credentials"
                } else {
                    "add auth: required or allow_anonymous: true"
                };
                self.say(at.key("bind"), message, hint);
            }
            OpenTo::Authenticated if config.auth.chain.is_empty() => {
                let message = format!("listener {bind} requires credentials, but nothing can check them");
                let hint = "add auth.chain, such as - password: {file: users}";
                self.say(at.key("auth"), message, hint);
            }
            OpenTo::Authenticated | OpenTo::Certified | OpenTo::Anyone | OpenTo::ThisMachine => {}
        }
    }

    fn websocket(&mut self, listener: &Listener, at: &KeyPath) {
        let Some(websocket) = &listener.websocket else { return };
        if listener.protocol != Protocol::Ws {
            self.say(
                at.key("websocket"),
                "websocket settings on a listener that speaks plain MQTT",
                "add protocol: ws",
            );
        }
        if !websocket.path.starts_with('/') {
            let message = format!("`{}` is no path of a URL", websocket.path);
            self.say(at.key("websocket").key("path"), message, "begin it with /");
        }
    }

    fn proxy(&mut self, listener: &Listener, at: &KeyPath) {
        let expected = listener.proxy_protocol != ProxyProtocol::Off;
        let trusted = !listener.trusted_cidrs.is_empty();
        if expected && matches!(listener.bind, Bind::Unix(_)) {
            self.say(at.key("proxy_protocol"), "no PROXY protocol on a Unix socket", "remove it");
        } else if expected && !trusted && !listener.bind.is_local() {
            let message = format!("listener {} would believe anyone's PROXY header", listener.bind);
            self.say(at.key("proxy_protocol"), message, "add trusted_cidrs: [address of the load balancer]");
        } else if trusted && !expected {
            self.say(at.key("trusted_cidrs"), "trusted_cidrs without PROXY protocol", "add proxy_protocol: required");
        }
    }

    fn tls(&mut self, listener: &Listener, tls: &Tls, at: &KeyPath) {
        if matches!(listener.bind, Bind::Unix(_)) {
            self.say(at.clone(), "no TLS on a Unix socket", "remove tls, or bind to an address");
        }
        if tls.certificates.is_empty() {
            let hint = "add certificates: [{cert: server.crt, key: server.key}]";
            self.say(at.clone(), "TLS without a certificate", hint);
        }
        match (tls.client_auth, &tls.ca) {
            (ClientAuth::Optional | ClientAuth::Required, None) => {
                let message = "clients show certificates, but no authority says which are good";
                self.say(at.key("client_auth"), message, "add ca: file.pem");
            }
            (ClientAuth::None, Some(_)) => {
                self.say(
                    at.key("ca"),
                    "a ca, but clients show no certificate",
                    "add client_auth: required, or remove ca",
                );
            }
            _ => {}
        }
        if tls.crl.is_some() && tls.ca.is_none() {
            self.say(at.key("crl"), "revocation lists, but no authority they are of", "add ca: file.pem");
        }
    }

    fn auth(&mut self, config: &NodeConfig) {
        for (nth, step) in config.auth.chain.iter().enumerate() {
            let at = top("auth").key("chain").index(nth);
            if access::kinds(step) != 1 {
                let hint = "write each step as an entry of its own";
                self.say(at.clone(), format!("a step of {} kinds instead of one", access::kinds(step)), hint);
            }
            self.jwt(step, &at.key("jwt"));
            let shown = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
            if step.certificate.is_some() && shown.into_iter().all(|tls| tls.client_auth == ClientAuth::None) {
                let message = "certificates are checked, but no listener asks for them";
                self.say(at.key("certificate"), message, "add tls.client_auth: required to a listener");
            }
        }
    }

    fn jwt(&mut self, step: &StepConfig, at: &KeyPath) {
        let Some(jwt) = &step.jwt else { return };
        let symmetric = jwt.algorithms.iter().filter(|&&algorithm| access::is_symmetric(algorithm)).count();
        if jwt.algorithms.is_empty() {
            self.say(at.key("algorithms"), "no signature would be accepted", "name one, such as ES256");
        } else if symmetric != 0 && symmetric != jwt.algorithms.len() {
            let message = "signatures with a shared secret and with public keys in one step";
            self.say(at.key("algorithms"), message, "write a step for each");
        }
        let files = [&jwt.secret_file, &jwt.public_key_file, &jwt.jwks_file].into_iter().flatten().count();
        if files != 1 {
            let message = format!("{files} key files instead of one");
            self.say(at.clone(), message, "set one of secret_file, public_key_file and jwks_file");
        } else if (symmetric > 0) != jwt.secret_file.is_some() {
            let hint = "HS… goes with secret_file, everything else with public_key_file or jwks_file";
            self.say(at.key("algorithms"), "the signatures do not go with the kind of key", hint);
        }
    }

    fn mqtt(&mut self, config: &NodeConfig) {
        let (at, mqtt) = (top("mqtt"), &config.mqtt);
        self.within(at.key("max_packet_size"), mqtt.max_packet_size.0, PACKET_BYTES);
        self.within(at.key("max_qos"), mqtt.max_qos.into(), 0..=2);
        self.within(at.key("receive_maximum"), mqtt.receive_maximum.into(), 1..=65_535);
        self.within(at.key("receive_maximum_v3"), mqtt.receive_maximum_v3.into(), 1..=65_535);
        self.within(at.key("outbound_window"), mqtt.outbound_window.into(), 1..=OUTBOUND_WINDOW_MAX.into());
        self.within(at.key("client_id_length_max"), mqtt.client_id_length_max.into(), 23..=65_535);
        self.within(at.key("topic_length_max"), mqtt.topic_length_max.into(), 1..=65_535);
        self.within(at.key("topic_levels_max"), mqtt.topic_levels_max.into(), 1..=1_024);
        self.within(at.key("filters_per_packet_max"), mqtt.filters_per_packet_max.into(), 1..=100_000);
        self.within(at.key("shared").key("members_max"), mqtt.shared.members_max.into(), 1..=1_000_000);
        self.within(at.key("inbox").key("messages_max"), mqtt.inbox.messages_max.into(), 1..=100_000_000);
        self.within(at.key("inbox").key("bytes_max"), mqtt.inbox.bytes_max.0, 1..=1 << 40);
        let seconds = "is longer than MQTT can say";
        if mqtt.max_keepalive.as_secs() > u16::MAX.into() {
            self.say(
                at.key("max_keepalive"),
                format!("{} {seconds}", mqtt.max_keepalive),
                "65535s is the longest, 0 = no bound",
            );
        }
        if mqtt.session_expiry_max.as_secs() > u32::MAX.into() {
            self.say(
                at.key("session_expiry_max"),
                format!("{} {seconds}", mqtt.session_expiry_max),
                "49710d is the longest",
            );
        }
        if mqtt.will_size_max.0 > 65_535 {
            self.say(at.key("will_size_max"), "a will's payload has at most 65535 bytes in MQTT", "lower it");
        }
    }

    fn cluster(&mut self, config: &NodeConfig) {
        let (at, cluster) = (top("cluster"), &config.cluster);
        self.within(at.key("weight"), cluster.weight.into(), 1..=WEIGHT_MAX.into());
        if let Err(error) = cluster.labels() {
            self.0.push(Problem::new(at.key("labels"), error.to_string()));
        }
        self.references(&cluster.reference, &at.key("reference"));
        let (peers, of_peers) = (at.key("peers"), &cluster.peers);
        self.within(peers.key("mtu_max"), of_peers.mtu_max.into(), 1_200..=6_500);
        self.within(peers.key("keep_alive"), of_peers.keep_alive.as_millis(), 10..=60_000);
        self.within(peers.key("idle_timeout"), of_peers.idle_timeout.as_millis(), 100..=600_000);
        self.within(peers.key("lost_after"), of_peers.lost_after.as_millis(), 100..=86_400_000);
        self.within(peers.key("queue"), of_peers.queue.0, LINK_QUEUE_BYTES);
        if of_peers.keep_alive.as_millis() * 2 > of_peers.idle_timeout.as_millis() {
            let message = "so rarely that a link that is fine counts as down";
            self.say(peers.key("keep_alive"), message, "make it half of idle_timeout or less");
        }
        let Some(control) = &cluster.control else { return };
        let control_at = at.key("control");
        if control.endpoints.is_empty() {
            let hint = "add an address such as https://control1.example.com:7081, or remove cluster.control";
            self.say(control_at.key("endpoints"), "no address of control", hint);
        }
        for (nth, endpoint) in control.endpoints.iter().enumerate() {
            let address = endpoint.strip_prefix("https://");
            if address.is_none_or(|address| address.parse::<Address>().is_err()) {
                let message = format!("{endpoint:?} is no address of control");
                self.say(control_at.key("endpoints").index(nth), message, "such as https://control1.example.com:7081");
            }
        }
        if config.workers() > GATE_WORKERS_MAX {
            let message = format!("{} workers; a node of a cluster has {GATE_WORKERS_MAX} at most", config.workers());
            self.say(top("workers"), message, format!("add workers: {GATE_WORKERS_MAX}"));
        }
        match &of_peers.advertise {
            Some(address) if address.parse::<Address>().is_err() => {
                let message = format!("{address:?} is no address with a port");
                self.say(peers.key("advertise"), message, "such as 10.0.0.7:7070");
            }
            None if of_peers.bind.ip().is_unspecified() => {
                let message = "no other machine can use this address";
                self.say(
                    peers.key("bind"),
                    message,
                    "say which one with cluster.peers.advertise, or bind to one address",
                );
            }
            Some(_) | None => {}
        }
    }

    fn references(&mut self, references: &[String], at: &KeyPath) {
        if references.len() > ADDRESSES_MAX {
            self.0.push(Problem::new(at.clone(), format!("{} addresses, more than {ADDRESSES_MAX}", references.len())));
        }
        for (nth, reference) in references.iter().enumerate() {
            if let Err(error) = reference.parse::<ClientAddress>() {
                let message = format!("{reference:?}: {error}");
                self.say(at.index(nth), message, "such as mqtts://broker1.example.com:8883");
            }
        }
    }

    fn rest(&mut self, config: &NodeConfig) {
        let (at, limits) = (top("limits"), &config.limits);
        self.within(at.key("connect_packet_max"), limits.connect_packet_max.0, 1024..=1 << 20);
        self.within(at.key("connect_deadline"), limits.connect_deadline.as_millis(), 100..=600_000);
        self.within(at.key("packet_deadline"), limits.packet_deadline.as_millis(), 100..=3_600_000);
        self.within(at.key("handshakes_max"), limits.handshakes_max.into(), 1..=1_000_000);
        self.within(at.key("outbox_max"), limits.outbox_max.0, 1024..=1 << 30);
        if let Some(workers) = config.workers {
            self.within(top("workers"), workers.get().into(), 1..=WORKERS_MAX.into());
        }
        self.within(top("storage").key("shards"), config.storage.shards.into(), 1..=sluice_cluster::SHARDS_MAX.into());
        if let Err(error) = sluice_service::telemetry::check_level(&config.log.level) {
            self.0.push(Problem::new(top("log").key("level"), error.to_string()));
        }
    }
}

/// What may wait for a node, in bytes: at least one message of the largest default size.
const LINK_QUEUE_BYTES: RangeInclusive<u64> = 8 << 20..=16 << 30;

/// Workers that have a gate beside them: interest is a bit for each and one for the gate.
const GATE_WORKERS_MAX: u16 = 63;

/// Bounds of a packet's size: the smallest that carries anything useful, and the largest that MQTT can express. A
/// broker that announces more breaks clients.
const PACKET_BYTES: RangeInclusive<u64> = 128..=268_435_455;
