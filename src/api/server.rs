//! The listening socket: one port, with TLS or without.
//!
//! HTTP/1.1, since video producers sign hop-by-hop headers that HTTP/2 removes: over TLS, `h2` is
//! offered only where the configuration says so. Without TLS, a client that begins with HTTP/2 gets
//! it: asynchronous Java clients subscribe to shards in no other way. Life: [`Server::bind`], then [`Server::run`] until the application's shutdown signal.
//! Binding comes before opening the store, since a taken port is quickly told.

use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::BytesMut;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Chain, Join};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::impatient::Impatient;
use super::upload::{self, First};
use super::workers::Workers;
use super::{AppState, router};
use crate::config::{Config, HttpLimits, Switch};

/// Pause after the system refused to accept, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What TLS clients are offered.
const HTTP_1: &[u8] = b"http/1.1";
/// What they are offered before it, where the configuration says so.
const HTTP_2: &[u8] = b"h2";
/// Requests at a time on a connection of HTTP/2: subscriptions to so many shards.
const MAX_HTTP_2_STREAMS: u32 = 100;
/// How often a silent connection of HTTP/2 is asked whether its client is still there.
const HTTP_2_PING: Duration = Duration::from_secs(30);

/// A bound server.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    workers: Workers,
}

/// Why the server does not start. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}{}", advice(.source))]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start the threads for connections: {0}")]
    Threads(#[source] io::Error),
    /// Certificate or key are not usable.
    #[error("TLS: {0}")]
    Tls(String),
}

impl Server {
    /// Takes the port and reads the certificate.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        let tls = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Some(acceptor(cert, key, config.tls_http2)?),
            _ => None,
        };
        let address = config.listen;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Bind { address, source })?;
        let workers = Workers::start().map_err(StartError::Threads)?;
        Ok(Self { listener, tls, workers })
    }

    /// The bound address: a real port also when port 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the shutdown signal, then lets open connections finish for as long as the
    /// configuration allows.
    pub async fn run(self, app: AppState) {
        let limits = &app.config.http;
        let router = router(Arc::clone(&app));
        let (tls, workers) = (self.tls, Arc::new(self.workers));
        let shared = Shared { app: Arc::clone(&app), router, tls, workers };
        let permits = Arc::new(Semaphore::new(limits.max_connections));
        let connections = TaskTracker::new();
        loop {
            // Beyond the limit, clients wait in the system's queue: the newest is never served
            // at the cost of the ones that send.
            let accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                let permit = permit.expect("the semaphore is never closed");
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = app.shutdown.cancelled() => break,
                accepted = accepted => accepted,
            };
            let socket = match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!("accept: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let shared = shared.clone();
            connections.spawn(async move {
                let app = shared.app.clone();
                let _open = app.metrics.http_connections.enter();
                if let Err(error) = connection(shared, socket).await {
                    // Clients come and go; what it meant to a stream is logged there.
                    tracing::debug!("connection: {error}");
                }
                drop(permit);
            });
        }
        drop(self.listener);
        connections.close();
        let patience = Duration::from_secs(limits.shutdown_seconds);
        if timeout(patience, connections.wait()).await.is_err() {
            tracing::warn!("{} connections did not end in time", connections.len());
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    app: AppState,
    router: Router,
    tls: Option<TlsAcceptor>,
    workers: Arc<Workers>,
}

async fn connection(shared: Shared, mut socket: TcpStream) -> Result<(), Error> {
    let Shared { app, router, tls, workers } = shared;
    // Acknowledgements are small and wanted at once.
    socket.set_nodelay(true)?;
    if let Some(tls) = tls {
        let socket = socket.into_std()?;
        let served = workers.run(async move {
            let socket = TcpStream::from_std(socket)?;
            let patience = Duration::from_secs(app.config.http.tls_timeout_seconds);
            let mut socket = timeout(patience, tls.accept(socket)).await??;
            let first = first(&app, &mut socket).await?;
            let (reader, writer) = tokio::io::split(socket);
            serve(app, router, first, reader, writer).await
        });
        return served.await?;
    }
    let first = first(&app, &mut socket).await?;
    if let First::Upload(_) = first {
        let (reader, writer) = socket.into_split();
        return serve(app, router, first, reader, writer).await;
    }
    let socket = socket.into_std()?;
    let served = workers.run(async move {
        let (reader, writer) = TcpStream::from_std(socket)?.into_split();
        serve(app, router, first, reader, writer).await
    });
    served.await?
}

/// What the connection begins with, within the time that a request's head may take.
async fn first(app: &AppState, socket: &mut (impl AsyncRead + Unpin)) -> Result<First, Error> {
    let limits = &app.config.http;
    let first = First::read(socket, limits.max_head_bytes);
    let patience = Duration::from_secs(limits.header_timeout_seconds);
    tokio::select! {
        first = timeout(patience, first) => Ok(first??),
        () = app.shutdown.cancelled() => Ok(First::nothing()),
    }
}

async fn serve(
    app: AppState,
    router: Router,
    first: First,
    reader: impl AsyncRead + Unpin + Send + 'static,
    writer: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<(), Error> {
    let limits = &app.config.http;
    let writer = Impatient::new(writer, Duration::from_secs(limits.write_timeout_seconds));
    match first {
        First::Upload(upload) => {
            Ok(upload::serve(upload, reader, writer, router, &app.clock).await?)
        }
        First::Http2(begin) => {
            let socket = TokioIo::new(joined(begin, reader, writer));
            let service = TowerToHyperService::new(router);
            finish(http_2(limits).serve_connection(socket, service), &app.shutdown).await
        }
        First::Other(begin) => {
            let socket = TokioIo::new(joined(begin, reader, writer));
            let service = TowerToHyperService::new(router);
            finish(http_1(limits).serve_connection(socket, service), &app.shutdown).await
        }
    }
}

/// Serves until the client goes, or until what is under way at the shutdown is done.
async fn finish<C>(connection: C, shutdown: &CancellationToken) -> Result<(), Error>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

/// A socket whose first bytes were read already.
fn joined<R: AsyncRead, W: AsyncWrite>(
    begin: BytesMut,
    reader: R,
    writer: W,
) -> Join<Chain<Cursor<BytesMut>, R>, W> {
    tokio::io::join(Cursor::new(begin).chain(reader), writer)
}

fn http_1(limits: &HttpLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.header_timeout_seconds))
        .max_buf_size(limits.max_head_bytes);
    builder
}

fn http_2(limits: &HttpLimits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP_2_PING)
        .keep_alive_timeout(Duration::from_secs(limits.header_timeout_seconds))
        .max_concurrent_streams(MAX_HTTP_2_STREAMS)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX));
    builder
}

/// What to do about an address that cannot be had.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or choose another port with --listen \
             (port 0 takes a free one)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: choose one of its own with --listen, or 0.0.0.0 \
             for all of them"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: choose a higher one with --listen"
        }
        _ => "",
    }
}

fn acceptor(cert: &Path, key: &Path, http_2: Switch) -> Result<TlsAcceptor, StartError> {
    let in_file = |path: &Path| {
        let path = path.display().to_string();
        move |error: tokio_rustls::rustls::pki_types::pem::Error| {
            StartError::Tls(format!("{path}: {error}"))
        }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(in_file(cert))?;
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(in_file(key))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let refused = |error: tokio_rustls::rustls::Error| StartError::Tls(error.to_string());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)
        .map_err(refused)?;
    let offered: &[&[u8]] = if http_2 == Switch::On { &[HTTP_2, HTTP_1] } else { &[HTTP_1] };
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
