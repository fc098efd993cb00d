//! The port itself: a thread, a bound on connections, a bound on patience.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net,
    runtime::{Builder, Runtime},
    sync::{Semaphore, oneshot},
    task, time,
};

use super::{StatusSource, http};

/// The running port. Ends when it is dropped.
pub struct AdminServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AdminServer {
    /// Opens the port; port 0 takes any free one.
    ///
    /// # Errors
    /// The address is taken or cannot be had.
    pub fn start(bind: SocketAddr, source: Arc<dyn StatusSource>) -> io::Result<Self> {
        let listener = TcpListener::bind(bind)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(2).build()?;
        let (stop, stopped) = oneshot::channel();
        let thread =
            thread::Builder::new().name("admin".into()).spawn(move || run(runtime, listener, source, stopped))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The address it has.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }
}

fn run(runtime: Runtime, listener: TcpListener, source: Arc<dyn StatusSource>, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        match net::TcpListener::from_std(listener) {
            Ok(listener) => drop(task::spawn(accept(listener, source))),
            Err(error) => tracing::error!(%error, "the operators' port is closed"),
        }
        // Resolves when the sender is dropped.
        let _ = stopped.await;
    });
    // Answers under way are of no use to anybody once the node is gone.
    runtime.shutdown_background();
}

async fn accept(listener: net::TcpListener, source: Arc<dyn StatusSource>) {
    let service = warp::service(http::routes(http::Snapshots::new(source)));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "the operators' port could not accept");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(service.clone());
        task::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_headers(64)
                .serve_connection(TokioIo::new(stream), service);
            // What a client does to its own connection is no event here.
            let _ = time::timeout(CONNECTION_AGE_MAX, connection).await;
            drop(place);
        });
    }
}

/// Monitoring needs a handful; the rest waits in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// For the head of a request to arrive, and for a kept connection to be used again.
const PATIENCE: Duration = Duration::from_secs(90);
/// After this long a client connects again. So a client that reads nothing holds no place for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
/// After an error that lasts, such as having no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
