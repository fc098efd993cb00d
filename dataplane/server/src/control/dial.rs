//! A connection to control: TCP and TLS, by what its certificate says and not by its name.

use std::{
    error::Error,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use sluice_cluster::{Address, Identity};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    codegen::{Service, http::Uri},
    transport::{Channel, Endpoint},
};

use super::NodeIdentity;

/// Connects to the control that an identity trusts, and shows its certificate if `shows_certificate`: for diagnosis.
///
/// # Errors
/// Nobody is there, or it is not control.
pub async fn connect(
    address: Address,
    identity: &NodeIdentity,
    shows_certificate: bool,
    limit: Duration,
) -> Result<Channel, DialError> {
    let tls = if shows_certificate { identity.tls("h2") } else { identity.anonymous_tls("h2") };
    dial(address, Arc::new(tls.map_err(|error| DialError(error.to_string()))?), limit).await
}

/// Connects within `limit`.
///
/// # Errors
/// Nobody is there, or it is not control.
pub(super) async fn dial(address: Address, config: Arc<ClientConfig>, limit: Duration) -> Result<Channel, DialError> {
    // The scheme and name are those inside of the TLS connection, which the connector makes.
    let endpoint = Endpoint::from_static("http://control")
        .connect_timeout(limit)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let connected = tokio::time::timeout(limit, endpoint.connect_with_connector(Connector { address, config }));
    match connected.await {
        Ok(result) => result.map_err(|error| DialError(chain(&error))),
        Err(_) => Err(DialError("no answer in time".into())),
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DialError(String);

/// Whether the URIs of a certificate are those of control.
pub(super) fn is_control(uris: &[String]) -> bool {
    Identity::among(uris.iter().map(String::as_str)) == Some(Identity::Control)
}

/// An error with what is behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[derive(Clone, Debug)]
struct Connector {
    address: Address,
    config: Arc<ClientConfig>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { address, config } = self.clone();
        Box::pin(async move {
            let socket = TcpStream::connect((address.host(), address.port())).await?;
            socket.set_nodelay(true)?;
            // Not looked at, and not sent: the identity is in the certificate.
            let name = ServerName::try_from("control.invalid").map_err(io::Error::other)?;
            Ok(TokioIo::new(TlsConnector::from(config).connect(name, socket).await?))
        })
    }
}

/// Some of the parts of a full state under way at once over a long path.
const WINDOW: u32 = 8 << 20;
