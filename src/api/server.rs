//! The listening socket: one port, HTTP/1.1, with TLS or without.
//!
//! HTTP/1.1 only, since producers sign hop-by-hop headers that HTTP/2 removes: ALPN never offers
//! `h2`. Life: [`Server::bind`], then [`Server::run`] until the application's shutdown signal.
//! Binding comes before opening the store, since a taken port is quickly told.

use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::task::TaskTracker;

use super::impatient::Impatient;
use super::upload::{self, First};
use super::workers::Workers;
use super::{AppState, router};
use crate::config::Config;

/// Pause after the system refused to accept, for want of file descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The only protocol that TLS clients are offered.
const ALPN: &[u8] = b"http/1.1";

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
            (Some(cert), Some(key)) => Some(acceptor(cert, key)?),
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
    let begin = match first {
        First::Upload(upload) => {
            return Ok(upload::serve(upload, reader, writer, router, &app.clock).await?);
        }
        First::Other(begin) => begin,
    };
    let socket = tokio::io::join(Cursor::new(begin).chain(reader), writer);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.header_timeout_seconds))
        .max_buf_size(limits.max_head_bytes)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = app.shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
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

fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, StartError> {
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
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
