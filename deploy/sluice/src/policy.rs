//! What holds at each listener, the defaults included: for `sluice config check`, so that nobody has to put it together
//! from the file in their head.

use std::fmt::Write as _;

use sluice_dataplane_auth::config::{CertificateIdentity, StepConfig};
use sluice_dataplane_server::config::{Bind, ClientAuth, Listener, NodeConfig, OpenTo, Protocol, ProxyProtocol, Tls};

use crate::banner;

/// A paragraph for each listener, in the order of the file.
pub(crate) fn of_listeners(config: &NodeConfig) -> String {
    let mut text = String::new();
    for listener in &config.listeners {
        let rows = [
            ("address", banner::url(listener, &listener.bind)),
            ("transport", transport(listener)),
            ("encryption", listener.tls.as_ref().map_or_else(|| "none".to_owned(), encryption)),
            ("clients", clients(config, listener)),
            ("PROXY", proxy(listener)),
            ("access", access(config)),
            ("limits", limits(config, listener)),
        ];
        let _ = writeln!(text, "\nlistener {}", listener.label(None));
        for (name, value) in rows {
            let _ = writeln!(text, "  {name:10}  {value}");
        }
    }
    text
}

fn transport(listener: &Listener) -> String {
    let carrier = if matches!(listener.bind, Bind::Unix(_)) { "Unix socket" } else { "TCP" };
    match listener.protocol {
        Protocol::Mqtt => format!("MQTT over {carrier}"),
        Protocol::Ws => {
            let websocket = listener.websocket();
            let pages = match websocket.origins.as_slice() {
                [] => "any web page".to_owned(),
                origins => format!("web pages of {}", origins.join(", ")),
            };
            format!("MQTT over WebSocket over {carrier}, path {}, {pages}", websocket.path)
        }
    }
}

fn encryption(tls: &Tls) -> String {
    let certificates: Vec<String> = tls.certificates.iter().map(|each| each.cert.display().to_string()).collect();
    let mut text = format!("TLS 1.2 and 1.3 with {}", certificates.join(", "));
    let asked = match tls.client_auth {
        ClientAuth::None => return text + "; clients are not asked for certificates",
        ClientAuth::Optional => "client certificates optional",
        ClientAuth::Required => "client certificates required",
    };
    let _ = write!(text, "; {asked}");
    if let Some(ca) = &tls.ca {
        let _ = write!(text, ", of {}", ca.display());
    }
    match &tls.crl {
        Some(crl) => text + &format!(", revoked by {}", crl.display()),
        None => text + ", revocation not checked",
    }
}

fn clients(config: &NodeConfig, listener: &Listener) -> String {
    let shows = listener.tls.as_ref().map_or(ClientAuth::None, |tls| tls.client_auth);
    if listener.identity_as_username {
        let identity = config.auth.chain.iter().find_map(|step| step.certificate.as_ref());
        let name = name_of(identity.map(|step| step.identity).unwrap_or_default());
        return format!(
            "the {name} of the client certificate is the user name, passwords and tokens are not looked at"
        );
    }
    let steps: Vec<String> = config.auth.chain.iter().filter_map(|step| step_of(step, shows)).collect();
    let checked = steps.join(", then ");
    match config.open_to(listener) {
        OpenTo::Authenticated => format!("credentials required, checked by {checked}"),
        OpenTo::Certified => "certificate required, otherwise anonymous: user names are not checked".to_owned(),
        OpenTo::Anyone | OpenTo::ThisMachine | OpenTo::Unsaid if steps.is_empty() => {
            "anonymous let in, user names and passwords are not checked".to_owned()
        }
        OpenTo::Anyone | OpenTo::ThisMachine | OpenTo::Unsaid => {
            format!("anonymous let in; credentials that are shown are checked by {checked}")
        }
    }
}

/// A step of the chain; `None` where no client of the listener can show what it looks at.
fn step_of(step: &StepConfig, shows: ClientAuth) -> Option<String> {
    if let Some(password) = &step.password {
        return Some(format!("password ({})", password.file.display()));
    }
    if let Some(jwt) = &step.jwt {
        let file = jwt.jwks_file.as_ref().or(jwt.public_key_file.as_ref()).or(jwt.secret_file.as_ref());
        return Some(format!("jwt ({})", file.map(|file| file.display().to_string()).unwrap_or_default()));
    }
    let certificate = step.certificate.as_ref().filter(|_| shows != ClientAuth::None)?;
    Some(format!("certificate ({})", name_of(certificate.identity)))
}

fn name_of(identity: CertificateIdentity) -> &'static str {
    match identity {
        CertificateIdentity::CommonName => "common name",
        CertificateIdentity::Dns => "DNS name",
        CertificateIdentity::Uri => "URI",
        CertificateIdentity::Email => "e-mail address",
    }
}

fn proxy(listener: &Listener) -> String {
    let mode = match listener.proxy_protocol {
        ProxyProtocol::Off => return "off".to_owned(),
        ProxyProtocol::Optional => "optional",
        ProxyProtocol::Required => "required",
    };
    let trusted: Vec<String> = listener.trusted_cidrs.iter().map(ToString::to_string).collect();
    let from = if trusted.is_empty() { "this machine".to_owned() } else { trusted.join(", ") };
    format!("{mode}, believed from {from}")
}

fn access(config: &NodeConfig) -> String {
    match &config.access.file {
        Some(file) => format!("rules of {}", file.display()),
        None => "no rules: who came in may publish and subscribe to everything".to_owned(),
    }
}

fn limits(config: &NodeConfig, listener: &Listener) -> String {
    let of_all = config.mqtt.max_packet_size;
    let packet = match listener.max_packet_size {
        Some(own) if own != of_all => format!("packets up to {own} (elsewhere {of_all})"),
        Some(_) | None => format!("packets up to {of_all}"),
    };
    match listener.connections_max {
        0 => packet,
        most => format!("{packet}, {most} connections"),
    }
}
