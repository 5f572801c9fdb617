//! A page on this machine for people who decide about pairs: rows and decisions in, a log of decisions out.
//!
//! 1. `desk`: rows and decisions, shared by all requests; a decision is on disk before its answer goes out.
//! 2. `guard`: who may ask, and whether a form is one of ours.
//! 3. `page`, `diff`: what is shown. `review.css`, `review.js`: how; without JavaScript the forms work as well.
//!
//! Invariants: it listens on this machine alone; code from rows reaches the page as text, never as markup; nothing is fetched
//! from elsewhere; what a form carries is kept or shown again, never dropped.

mod answers;
mod desk;
mod diff;
mod guard;
mod page;

pub(crate) use desk::Desk;

use crate::{
    cli::terminal,
    listen::{self, Door},
};
use anyhow::{Context, Result};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// Serves the page until `stop`; prints its address once it is open.
pub(crate) fn serve(desk: Desk, port: u16, stop: &'static AtomicBool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .with_context(|| format!("cannot listen on {address}: choose another --port, or 0 for any"))?;
    let address = listener.local_addr()?;
    terminal::answer(format!("http://{address}/"))?;
    let routes = answers::routes(Arc::new(desk), guard::Guard::new(address)?);
    let door = Door { name: "review", connections: 64, grace: Duration::from_secs(2), dead: &|| false, close: &|| () };
    runtime.block_on(listen::listen(listener, routes, &door, stop));
    runtime.shutdown_timeout(Duration::from_millis(500));
    Ok(())
}
