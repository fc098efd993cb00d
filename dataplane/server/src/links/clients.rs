//! Clients whose session lives on another node: one stream each, on a connection of their own kind.
//!
//! The node that has the socket opens the connection when the first of its clients needs it. A stream begins with a header
//! that says how the client came; what follows is MQTT as the client sent it, and as it shall get it.

use std::{io, os::unix::net::UnixStream, rc::Rc, time::Duration};

use quinn::{Connection, ConnectionError, ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use sluice_cluster::NodeId;
use sluice_dataplane_core::link::{CLIENT_HEADER_BYTES_MAX, ClientHeader, ClientHeaderError};
use tokio::{
    task::spawn_local,
    time::{error::Elapsed, timeout},
};

use super::{
    ClientAway, Exchange,
    driver::Driver,
    pair::{self, OpenError},
    profile::Profile,
    pump,
};
use crate::transport::{Transport, Wire};

/// Why a client did not get to its session.
#[derive(Debug, thiserror::Error)]
enum LostClient {
    #[error("there are too many such clients")]
    TooMany,
    #[error("its node cannot be reached: {0}")]
    Open(#[from] OpenError),
    #[error("its node is gone: {0}")]
    Connection(#[from] ConnectionError),
    #[error("its node is gone: {0}")]
    Write(#[from] WriteError),
    #[error("its header has not come: {0}")]
    Read(#[from] ReadExactError),
    #[error("its header has not come in time")]
    Late(#[from] Elapsed),
    #[error(transparent)]
    Header(#[from] ClientHeaderError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Brings a client of this node to its session's node, and its bytes there and back until it is over.
pub(super) async fn bring<E: Exchange + 'static>(driver: Rc<Driver<E>>, to: NodeId, client: ClientAway) {
    let address = client.header.address;
    if let Err(error) = try_bring(&driver, to, client).await {
        tracing::debug!(peer = %to, ?address, %error, "a client did not get to its session");
    }
}

async fn try_bring<E: Exchange + 'static>(
    driver: &Rc<Driver<E>>,
    to: NodeId,
    client: ClientAway,
) -> Result<(), LostClient> {
    let _seat = driver.seats.take().ok_or(LostClient::TooMany)?;
    let connection = connection(driver, to).await?;
    // Where the other node takes no more streams, its client waits no longer than for a handshake.
    let (mut send, receive) = timeout(driver.config.handshake_max, connection.open_bi()).await??;
    let mut start = Vec::with_capacity(256 + client.bytes.len());
    client.header.encode(&mut start);
    start.extend_from_slice(&client.bytes);
    send.write_chunk(start.into()).await?;
    pump::run(driver, client.transport, send, receive).await?;
    Ok(())
}

/// The connection for clients with a node; opened if there is none.
async fn connection<E: Exchange + 'static>(driver: &Rc<Driver<E>>, to: NodeId) -> Result<Connection, OpenError> {
    let place = driver.peers.borrow().get(&to).map(|peer| Rc::clone(&peer.clients)).ok_or(OpenError::NotAllowed)?;
    // Whoever comes while it is being opened waits for the same one.
    let mut place = place.lock().await;
    if let Some(connection) = place.as_ref().filter(|connection| connection.close_reason().is_none()) {
        return Ok(connection.clone());
    }
    let connection = pair::open(driver, to, Profile::Clients).await?;
    if !driver.peers.borrow().contains_key(&to) {
        connection.close(super::profile::Code::NotAllowed.into(), b"the node is not among those allowed");
        return Err(OpenError::NotAllowed);
    }
    *place = Some(connection.clone());
    Ok(connection)
}

/// Takes the clients that another node brings.
pub(super) async fn serve<E: Exchange + 'static>(driver: Rc<Driver<E>>, from: NodeId, connection: Connection) {
    while let Ok((send, receive)) = connection.accept_bi().await {
        let driver = Rc::clone(&driver);
        spawn_local(async move {
            if let Err(error) = take(&driver, from, send, receive).await {
                tracing::debug!(peer = %from, %error, "a client of another node was not served to its end");
            }
        });
    }
}

async fn take<E: Exchange + 'static>(
    driver: &Rc<Driver<E>>,
    from: NodeId,
    send: SendStream,
    mut receive: RecvStream,
) -> Result<(), LostClient> {
    let seat = driver.seats.take().ok_or(LostClient::TooMany)?;
    let header = timeout(HEADER_MAX, read_header(&mut receive)).await??;
    let (here, there) = UnixStream::pair()?;
    here.set_nonblocking(true)?;
    there.set_nonblocking(true)?;
    let wire = Wire::Unix(mio::net::UnixStream::from_std(here));
    driver.with(|exchange, now| exchange.client(now, from, header, there));
    pump::run(driver, Transport::new(wire, None, None, seat), send, receive).await?;
    Ok(())
}

async fn read_header(receive: &mut RecvStream) -> Result<ClientHeader, LostClient> {
    let mut bytes = vec![0; 4];
    receive.read_exact(&mut bytes).await?;
    // A length that is too long is refused before its bytes are waited for.
    ClientHeader::decode(&bytes)?;
    let length = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    bytes.resize(4 + length.min(CLIENT_HEADER_BYTES_MAX), 0);
    receive.read_exact(&mut bytes[4..]).await?;
    let (header, _) = ClientHeader::decode(&bytes)?.ok_or(ClientHeaderError)?;
    Ok(header)
}

impl From<ReadError> for LostClient {
    fn from(error: ReadError) -> Self {
        Self::Read(error.into())
    }
}

/// The header comes with the first packets of a stream.
const HEADER_MAX: Duration = Duration::from_secs(5);
