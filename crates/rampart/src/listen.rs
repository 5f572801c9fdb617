//! Connections: how many, how slow, and how they end.

use crate::cli::terminal;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// How long a connection may take to send a request's head, idle time before it included.
const HEAD: Duration = Duration::from_secs(60);
/// How often the wish to stop is looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// Bytes of a request's head, and of what is read ahead.
const BUFFER: usize = 64 << 10;

/// Who listens, and what ends with it.
pub(crate) struct Door<'a> {
    /// Its name in messages.
    pub(crate) name: &'a str,
    /// Connections that may be open.
    pub(crate) connections: usize,
    /// How long running answers may go on.
    pub(crate) grace: Duration,
    /// Whether what answers has ended by itself.
    pub(crate) dead: &'a dyn Fn() -> bool,
    /// Tells what answers that nobody asks any more.
    pub(crate) close: &'a dyn Fn(),
}

/// Answers connections until `stop`, then lets running answers end within their grace.
pub(crate) async fn listen(listener: TcpListener, routes: Router, door: &Door<'_>, stop: &AtomicBool) {
    let places = Arc::new(Semaphore::new(door.connections));
    let open = GracefulShutdown::new();
    while !stop.load(Ordering::Relaxed) && !(door.dead)() {
        // The place comes first: who finds none waits in the system's own queue.
        let Ok(Ok(place)) = timeout(GLANCE, Arc::clone(&places).acquire_owned()).await else { continue };
        let stream = match timeout(GLANCE, listener.accept()).await {
            Err(_) => continue,
            Ok(Ok((stream, _))) => stream,
            Ok(Err(error)) => {
                // Out of descriptors, say: it passes, and trying at once would only burn time.
                terminal::say(&format!("{}: cannot accept a connection: {error}", door.name));
                sleep(GLANCE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.clone()));
        let connection = open.watch(connection);
        tokio::spawn(async move {
            // A client that breaks off is no event.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    (door.close)();
    if open.count() > 0 && !(door.dead)() {
        terminal::say(&format!("{}: ending what runs", door.name));
    }
    let _ = timeout(door.grace, open.shutdown()).await;
}

/// Whether a `Host` names this machine: a page of others can reach it under a name of its own that leads here.
pub(crate) fn own(host: &str, address: SocketAddr) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |h| h.0);
    name.eq_ignore_ascii_case("localhost")
        || name == "127.0.0.1"
        || name == "[::1]"
        || host == address.to_string()
        || name == address.ip().to_string()
}
