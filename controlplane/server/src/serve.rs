//! One listener with TLS for push and joining.
//!
//! A caller may come without a certificate, since it may come for one; what needs an identity asks for it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig, crypto::ring, server::ClientHello, server::ResolvesServerCert,
    server::WebPkiClientVerifier, sign::CertifiedKey,
};
use sluice_cluster::{Identity, NodeId};
use sluice_proto_service::{join::v1::join_server::JoinServer, push::v1::push_server::PushServer};
use sluice_service::tls::uri_names;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::{
    Request, Status,
    codegen::tokio_stream::{StreamExt, wrappers::ReceiverStream},
    transport::server::{Server, TcpConnectInfo, TlsConnectInfo},
};
use tracing::{debug, info, warn};

use crate::join::{Admission, Join};
use crate::push::Push;
use crate::{Authority, AuthorityError};

/// Bounds of the listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServeSettings {
    /// How long a TLS handshake may take.
    pub handshake_max: Duration,
    /// Handshakes under way; further connections wait in the system's queue.
    pub handshakes_max: usize,
    /// How often control gets itself a fresh certificate; a part of a certificate's lifetime.
    pub renew_every: Duration,
    /// How long streams may take to end when the service stops.
    pub stop_max: Duration,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            handshake_max: Duration::from_secs(10),
            handshakes_max: 256,
            renew_every: Duration::from_secs(24 * 3600),
            stop_max: Duration::from_secs(5),
        }
    }
}

/// Serves push and joining until `stop` is ready, and ends all streams then.
///
/// # Errors
/// Control cannot get itself a certificate, or the server fails.
pub async fn serve<A: Admission>(
    listener: TcpListener,
    authority: Arc<Authority>,
    push: Push,
    join: Join<A>,
    settings: ServeSettings,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let own = Arc::new(OwnCertificate::new(&authority)?);
    let config = tls(&authority, Arc::clone(&own))?;
    let (accepted, incoming) = mpsc::channel(64);
    let streams = push.clone();
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        // Room for a node's whole interest to come at once over a long way.
        .initial_stream_window_size(UP_WINDOW)
        .initial_connection_window_size(2 * UP_WINDOW)
        .add_service(
            PushServer::new(push).max_decoding_message_size(UP_BYTES_MAX).max_encoding_message_size(usize::MAX),
        )
        .add_service(JoinServer::new(join).max_decoding_message_size(JOIN_BYTES_MAX))
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming).map(Ok::<_, io::Error>), async {
            let _ = stopped.await;
        });
    let mut server = std::pin::pin!(server);
    tokio::select! {
        result = &mut server => return result.map_err(ServeError::Server),
        () = accept(listener, TlsAcceptor::from(config), accepted, settings) => {}
        () = renew(&authority, &own, settings.renew_every) => {}
        () = stop => {}
    }
    streams.stop();
    let _ = stopping.send(());
    match timeout(settings.stop_max, server).await {
        Ok(result) => result.map_err(ServeError::Server),
        Err(_) => Ok(()),
    }
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no certificate of control.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// Nodes' certificates cannot be checked.
    #[error(transparent)]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The server ended.
    #[error("the gRPC server: {0}")]
    Server(tonic::transport::Error),
}

/// Who the caller is, by its certificate.
pub(crate) fn node_of<T>(request: &Request<T>) -> Result<NodeId, Status> {
    let info = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let certificates = info.and_then(TlsConnectInfo::peer_certs);
    let certificate = certificates.as_ref().and_then(|chain| chain.first());
    let certificate = certificate.ok_or_else(|| Status::unauthenticated("no certificate was shown"))?;
    let uris = uri_names(certificate);
    let identity = Identity::among(uris.iter().map(String::as_str));
    identity.and_then(Identity::node).ok_or_else(|| Status::unauthenticated("the certificate is no node's"))
}

/// Where the caller is.
pub(crate) fn remote_of<T>(request: &Request<T>) -> Option<SocketAddr> {
    request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>()?.get_ref().remote_addr()
}

/// The certificate that control shows; connections keep the one they began with.
#[derive(Debug)]
struct OwnCertificate(ArcSwap<CertifiedKey>);

impl OwnCertificate {
    fn new(authority: &Authority) -> Result<Self, ServeError> {
        Ok(Self(ArcSwap::from_pointee(Self::draw(authority)?)))
    }

    fn draw(authority: &Authority) -> Result<CertifiedKey, ServeError> {
        let (certificate, key) = authority.certify_control()?;
        // The authority is shown too: who joins knows it by its fingerprint alone.
        let chain = vec![certificate, authority.certificate().clone()];
        Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn tls(authority: &Authority, own: Arc<OwnCertificate>) -> Result<Arc<ServerConfig>, ServeError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

async fn renew(authority: &Authority, own: &OwnCertificate, every: Duration) {
    loop {
        sleep(every).await;
        match OwnCertificate::draw(authority) {
            Ok(fresh) => {
                info!("control has a fresh certificate");
                own.0.store(Arc::new(fresh));
            }
            Err(error) => warn!(%error, "control keeps its certificate: it could not get a fresh one"),
        }
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    accepted: mpsc::Sender<TlsStream<TcpStream>>,
    settings: ServeSettings,
) {
    let handshakes = Arc::new(Semaphore::new(settings.handshakes_max));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return };
        let (socket, remote) = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                // Out of descriptors, most likely: some will be given back.
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let _ = socket.set_nodelay(true);
            match timeout(settings.handshake_max, acceptor.accept(socket)).await {
                Ok(Ok(stream)) => drop(accepted.send(stream).await),
                Ok(Err(error)) => debug!(%remote, %error, "a TLS handshake failed"),
                Err(_) => debug!(%remote, "a TLS handshake took too long"),
            }
        });
    }
}

/// A frame of interest, or a report of 65,536 shards at some 30 bytes each.
const UP_BYTES_MAX: usize = 8 << 20;
/// A signing request has some hundreds of bytes.
const JOIN_BYTES_MAX: usize = 64 << 10;
const UP_WINDOW: u32 = 1 << 20;
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
