//! The listeners, from configuration to sockets.

use std::{io, sync::Arc};

use anyhow::Context as _;
use sluice_service::{reload::Subjects, tls::TlsContext};

use super::{Bound, standing::StandingNews};
use crate::{
    config::{Bind, Listener, NodeConfig, Protocol, ProxyProtocol},
    greeter::Manners,
    listener::{Acceptor, Seats, bind_tcp, bind_unix},
    proxy_protocol::Expect,
    ws::Policy,
};

/// Every listener of a node, open.
pub(super) struct Listeners {
    /// In the order of the configuration.
    pub(super) bound: Vec<Bound>,
    /// What each asks of a connection.
    pub(super) manners: Arc<[Manners]>,
    /// The sockets of each worker: those whose connections need no greeting.
    pub(super) workers: Vec<Vec<Acceptor>>,
    /// The sockets of each greeter; none when nothing needs one.
    pub(super) greeters: Vec<Vec<Acceptor>>,
    /// Encrypted listeners.
    pub(super) tls: Vec<(usize, Arc<TlsContext>)>,
}

impl Listeners {
    /// Reads the certificates and binds every address.
    pub(super) fn open(config: &NodeConfig, workers: usize, seats: &Arc<Seats>) -> anyhow::Result<Self> {
        let any_greeted = config.listeners.iter().any(|listener| !is_plain(listener));
        let greeters = if any_greeted { workers.div_ceil(2).min(GREETERS_MAX) } else { 0 };
        let mut opened = Self {
            bound: Vec::new(),
            manners: Arc::new([]),
            workers: (0..workers).map(|_| Vec::new()).collect(),
            greeters: (0..greeters).map(|_| Vec::new()).collect(),
            tls: Vec::new(),
        };
        let mut manners = Vec::new();
        for (index, listener) in config.listeners.iter().enumerate() {
            let tls = listener.tls_files().map(TlsContext::load).transpose();
            let tls = tls.with_context(|| format!("in the tls of listener {}", listener.bind))?.map(Arc::new);
            if let Some(tls) = &tls {
                opened.tls.push((index, Arc::clone(tls)));
            }
            let seats = Seats::new(listener.connections_max as usize, Some(Arc::clone(seats)));
            let bind = opened.bind(u16::try_from(index)?, listener, &seats);
            let bind = bind.with_context(|| format!("cannot listen on {}", listener.bind))?;
            let name = listener.label(bind.port());
            manners.push(manners_of(listener, &name, tls));
            opened.bound.push(Bound { name, bind });
        }
        opened.manners = manners.into();
        Ok(opened)
    }

    /// Binds one listener for all who accept on it; says where it really listens.
    fn bind(&mut self, index: u16, listener: &Listener, seats: &Arc<Seats>) -> io::Result<Bind> {
        let accepting = if is_plain(listener) { &mut self.workers } else { &mut self.greeters };
        match &listener.bind {
            Bind::Tcp(address) => {
                let (address, sockets) = bind_tcp(*address, accepting.len())?;
                for (acceptors, socket) in accepting.iter_mut().zip(sockets) {
                    acceptors.push(Acceptor::tcp(index, Arc::clone(seats), socket));
                }
                Ok(Bind::Tcp(address))
            }
            Bind::Unix(path) => {
                accepting[0].push(Acceptor::unix(index, Arc::clone(seats), bind_unix(path)?));
                Ok(Bind::Unix(path.clone()))
            }
        }
    }

    /// Reads certificates again whenever they change, and holds connected clients against authorities and revocation
    /// lists.
    pub(super) fn watch(&self, subjects: &mut Subjects, standing: &StandingNews) {
        for (index, tls) in &self.tls {
            let (name, paths, tls) = (&self.bound[*index].name, tls.files().paths(), Arc::clone(tls));
            let standing = standing.clone();
            subjects.add(
                format!("certificates of {name}"),
                paths,
                Box::new(move || {
                    tls.reload()?;
                    standing.tell_certificates();
                    Ok(())
                }),
            );
        }
    }

    /// The encryption of each listener, in the order of the configuration.
    pub(super) fn by_listener(&self) -> Arc<[Option<Arc<TlsContext>>]> {
        let of = |index| self.tls.iter().find(|(of, _)| *of == index).map(|(_, tls)| Arc::clone(tls));
        (0..self.bound.len()).map(of).collect()
    }
}

/// Whether MQTT begins with the first byte. Such connections are accepted by the workers themselves. A Unix socket
/// cannot be shared out by the kernel, so that a greeter does it.
fn is_plain(listener: &Listener) -> bool {
    listener.tls.is_none()
        && listener.protocol == Protocol::Mqtt
        && listener.proxy_protocol == ProxyProtocol::Off
        && matches!(listener.bind, Bind::Tcp(_))
}

fn manners_of(listener: &Listener, name: &str, tls: Option<Arc<TlsContext>>) -> Manners {
    let believes = listener.clone();
    Manners {
        name: name.to_owned(),
        proxy: match listener.proxy_protocol {
            ProxyProtocol::Off => Expect::Off,
            ProxyProtocol::Optional => Expect::Optional,
            ProxyProtocol::Required => Expect::Required,
        },
        trusts: Box::new(move |address| believes.trusts(address)),
        tls,
        ws: (listener.protocol == Protocol::Ws).then(|| {
            let websocket = listener.websocket();
            Policy { path: websocket.path, origins: websocket.origins }
        }),
    }
}

/// A core makes some thousand handshakes a second.
const GREETERS_MAX: usize = 8;
