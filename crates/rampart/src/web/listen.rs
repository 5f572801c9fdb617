//! Connections: how many, how slow, and how they end.

use super::Served;
use crate::cli::terminal;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{
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

/// Answers connections until `stop`, then lets running answers end within their grace.
pub(super) async fn listen(listener: TcpListener, routes: Router, served: &Served, stop: &AtomicBool) {
    let limits = &served.limits;
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = GracefulShutdown::new();
    while !stop.load(Ordering::Relaxed) && !served.engine.dead() {
        // The place comes first: who finds none waits in the system's own queue.
        let Ok(Ok(place)) = timeout(GLANCE, Arc::clone(&places).acquire_owned()).await else { continue };
        let stream = match timeout(GLANCE, listener.accept()).await {
            Err(_) => continue,
            Ok(Ok((stream, _))) => stream,
            Ok(Err(error)) => {
                // Out of descriptors, say: it passes, and trying at once would only burn time.
                terminal::say(&format!("serve: cannot accept a connection: {error}"));
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
    served.engine.close();
    if open.count() > 0 && !served.engine.dead() {
        terminal::say("serve: ending what runs");
    }
    let _ = timeout(limits.grace, open.shutdown()).await;
}
