//! Connections: a bound on how many, on how long, on how much.

use std::{collections::BTreeMap, convert::Infallible, io, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use sluice_service::tls::{CertificateFiles, ClientAuth, TlsContext, TlsFiles};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tonic::codegen::tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tracing::debug;
use warp::{
    Buf, Filter, Reply as _,
    http::{HeaderMap, Method, Response, header},
    path::FullPath,
    reply,
};

use super::{
    Api,
    reply::{Problem, Reply},
    route::{CSRF_HEADER, Request},
};
use crate::config::Http;

/// TLS of the interface, if its files are named.
///
/// # Errors
/// A file cannot be read or is not what it should be.
pub(crate) fn tls(config: &Http) -> anyhow::Result<Option<Arc<TlsContext>>> {
    let Some((cert, key)) = config.cert.clone().zip(config.key.clone()) else { return Ok(None) };
    let files = TlsFiles {
        certificates: vec![CertificateFiles { cert, key }],
        client_auth: ClientAuth::default(),
        alpn: vec!["http/1.1".into()],
    };
    Ok(Some(Arc::new(TlsContext::load(files).context("http")?)))
}

/// Serves until `stop` is ready.
///
/// # Errors
/// None: what goes wrong is wrong with one connection.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<TlsContext>>,
    api: Api,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    tokio::select! {
        () = accept(listener, tls, api) => {}
        () = stop => {}
    }
    Ok(())
}

async fn accept(listener: TcpListener, tls: Option<Arc<TlsContext>>, api: Api) {
    let service = warp::service(routes(api, tls.is_some()));
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // They end with this.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                debug!(%error, "an operator's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (service, tls) = (service.clone(), tls.clone());
        connections.spawn(async move {
            let _place = place;
            let service = TowerToHyperService::new(service);
            match tls {
                None => serve_one(socket, service).await,
                Some(tls) => {
                    let accepted = timeout(HANDSHAKE_MAX, TlsAcceptor::from(tls.config()).accept(socket)).await;
                    if let Ok(Ok(stream)) = accepted {
                        serve_one(stream, service).await;
                    }
                }
            }
        });
    }
}

async fn serve_one<S, F>(stream: S, service: TowerToHyperService<F>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    TowerToHyperService<F>: hyper::service::HttpService<hyper::body::Incoming, ResBody: Send + 'static>,
    <TowerToHyperService<F> as hyper::service::HttpService<hyper::body::Incoming>>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>>,
    <<TowerToHyperService<F> as hyper::service::HttpService<hyper::body::Incoming>>::ResBody as hyper::body::Body>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(64)
        .serve_connection(TokioIo::new(stream), service);
    // What a client does to its own connection is no event here.
    let _ = timeout(CONNECTION_AGE_MAX, connection).await;
}

/// Everything comes in here: routes are a table of this interface's own.
fn routes(
    api: Api,
    has_tls: bool,
) -> impl Filter<Extract = (reply::Response,), Error = warp::Rejection> + Clone + Send + Sync {
    let with_api = warp::any().map(move || api.clone());
    let query = warp::query::<BTreeMap<String, String>>().or(warp::any().map(BTreeMap::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .and(with_api)
        .then(move |method: Method, path: FullPath, query, headers: HeaderMap, body, api: Api| async move {
            let texts = |name: &str| {
                headers
                    .get_all(name)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let text = |name: &str| texts(name).into_iter().next();
            let request = Request {
                method: method.to_string(),
                path: path.as_str().to_owned(),
                query,
                authorization: text("authorization"),
                if_match: text("if-match"),
                if_none_match: text("if-none-match"),
                cookies: texts("cookie"),
                has_csrf_header: headers.contains_key(CSRF_HEADER),
                last_event_id: text("last-event-id"),
                is_encrypted: has_tls || text("x-forwarded-proto").is_some_and(|proto| proto == "https"),
                body: Vec::new(),
            };
            match timeout(BODY_PATIENCE, read(body)).await {
                Ok(Some(body)) => response(api.answer(&Request { body, ..request }).await),
                Ok(None) | Err(_) => {
                    let detail =
                        format!("a body has at most {BODY_BYTES_MAX} bytes and comes within {BODY_PATIENCE:?}");
                    response(
                        Problem::new(413, "request.too_large", "the body is too large", detail).reply(path.as_str()),
                    )
                }
            }
        })
}

async fn read<B: Buf>(
    body: impl tonic::codegen::tokio_stream::Stream<Item = Result<B, warp::Error>>,
) -> Option<Vec<u8>> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let mut part = part.ok()?;
        if bytes.len() + part.remaining() > BODY_BYTES_MAX {
            return None;
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            let length = chunk.len();
            bytes.extend_from_slice(chunk);
            part.advance(length);
        }
    }
    Some(bytes)
}

fn response(mut reply: Reply) -> reply::Response {
    let mut response = Response::builder()
        .status(reply.status)
        .header(header::CONTENT_TYPE, reply.content_type)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer");
    if !reply.headers.iter().any(|(name, _)| *name == "cache-control") {
        response = response.header(header::CACHE_CONTROL, "no-store");
    }
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    if let Some(revision) = reply.etag {
        response = response.header(header::ETAG, format!("\"{revision}\""));
    }
    if let Some(location) = &reply.location {
        response = response.header(header::LOCATION, location);
    }
    if reply.status == 401 {
        response = response.header(header::WWW_AUTHENTICATE, "Bearer");
    }
    // Its parts are this interface's own.
    let head = response.body(std::mem::take(&mut reply.body)).unwrap_or_default();
    match reply.feed {
        None => head.into_response(),
        Some(feed) => {
            let (parts, _) = head.into_parts();
            let mut response = reply::stream(ReceiverStream::new(feed).map(Ok::<_, Infallible>)).into_response();
            (*response.status_mut(), *response.headers_mut()) = (parts.status, parts.headers);
            response
        }
    }
}

const CONNECTIONS_MAX: usize = 256;
const BODY_BYTES_MAX: usize = 1 << 20;
const BODY_PATIENCE: Duration = Duration::from_secs(30);
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// For the head of a request to arrive, and for a kept connection to be used again.
const PATIENCE: Duration = Duration::from_secs(90);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
