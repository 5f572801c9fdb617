//! The parts of a cluster: a scheduler that divides plans into tasks, and executors that run them. Both know our functions.
//!
//! Ballista asks nobody who they are: whoever reaches a scheduler or an executor may have it read any file that it can read.
//! They listen to this machine alone unless told otherwise, and then belong in a network of their own.

use crate::{Error, functions, screen::MESSAGE};
use ballista_core::{
    extension::SessionConfigExt as _,
    registry::BallistaFunctionRegistry,
    utils::{default_config_producer, default_session_builder},
};
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::{
    cluster::BallistaCluster,
    config::SchedulerConfig,
    scheduler_process::{create_scheduler, start_grpc_service_with_listener},
};
use datafusion::{execution::FunctionRegistry as _, prelude::SessionConfig};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::net::TcpListener;

/// Seconds between an executor's signs of life.
const HEARTBEAT: u64 = 1;

/// How a scheduler works.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// Seconds without a sign of life after which an executor's tasks go to others.
    pub lost_after: u64,
}

/// How an executor works.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Its scheduler's host and port.
    pub scheduler: (String, u16),
    /// Where it listens, for results and for tasks; port 0 takes any.
    pub listen: SocketAddr,
    /// Name under which others reach it, if it is not that address.
    pub name: Option<String>,
    /// Tasks at once.
    pub tasks: usize,
    /// Where results lie until they are fetched.
    pub folder: PathBuf,
}

fn configuration() -> SessionConfig {
    default_config_producer().with_ballista_grpc_client_max_message_size(MESSAGE)
}

/// Runs a scheduler until it is killed; `started` hears its address once it listens.
///
/// # Errors
/// [`Error::Start`].
pub fn schedule(how: &Scheduler, started: impl FnOnce(SocketAddr)) -> Result<(), Error> {
    let failed = |why: String| Error::Start { what: "a scheduler", why };
    let runtime = tokio::runtime::Runtime::new().map_err(|e| failed(e.to_string()))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(how.listen).await.map_err(|e| failed(format!("{}: {e}", how.listen)))?;
        let address = listener.local_addr().map_err(|e| failed(e.to_string()))?;
        let message = u32::try_from(MESSAGE).unwrap_or(u32::MAX);
        let config = SchedulerConfig {
            external_host: address.ip().to_string(),
            bind_host: address.ip().to_string(),
            bind_port: address.port(),
            executor_timeout_seconds: how.lost_after,
            expire_dead_executor_interval_seconds: 1,
            no_executors_grace_period_seconds: how.lost_after.saturating_mul(2),
            grpc_server_max_decoding_message_size: message,
            grpc_server_max_encoding_message_size: message,
            grpc_client_max_message_size: message,
            override_config_producer: Some(Arc::new(configuration)),
            override_session_builder: Some(Arc::new(|config| {
                let mut state = default_session_builder(config)?;
                for function in functions::all() {
                    state.register_udf(function)?;
                }
                Ok(state)
            })),
            ..SchedulerConfig::default()
        };
        config.validate().map_err(|e| failed(e.to_string()))?;
        let cluster = BallistaCluster::new_from_config(&config).await.map_err(|e| failed(e.to_string()))?;
        let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config))
            .await
            .map_err(|e| failed(e.to_string()))?;
        started(address);
        start_grpc_service_with_listener(listener, scheduler).await.map_err(|e| failed(e.to_string()))
    })
}

/// Runs an executor until it is killed.
///
/// # Errors
/// [`Error::Start`]; its scheduler being away is one.
pub fn execute(how: &Executor) -> Result<(), Error> {
    let failed = |why: String| Error::Start { what: "an executor", why };
    let mut functions_known = BallistaFunctionRegistry::default();
    for function in functions::all() {
        functions_known.scalar_functions.insert(function.name().to_owned(), function);
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|e| failed(e.to_string()))?;
    runtime.block_on(async {
        let (port, grpc_port) = match how.listen.port() {
            // Both addresses are told to others before the library listens on them, so they must be known.
            0 => {
                let (one, other) =
                    (bound(how.listen).await.map_err(&failed)?, bound(how.listen).await.map_err(&failed)?);
                (one.1, other.1)
            }
            port => {
                (port, port.checked_add(1).ok_or_else(|| failed("it needs two ports, one after another".to_owned()))?)
            }
        };
        let message = u32::try_from(MESSAGE).unwrap_or(u32::MAX);
        let config = ExecutorProcessConfig {
            bind_host: how.listen.ip().to_string(),
            external_host: Some(how.name.clone().unwrap_or_else(|| how.listen.ip().to_string())),
            port,
            grpc_port,
            scheduler_host: how.scheduler.0.clone(),
            scheduler_port: how.scheduler.1,
            scheduler_connect_timeout_seconds: 10,
            vcores: how.tasks,
            work_dir: Some(how.folder.display().to_string()),
            job_data_ttl_seconds: 24 * 3600,
            job_data_clean_up_interval_seconds: 600,
            executor_heartbeat_interval_seconds: HEARTBEAT,
            grpc_max_decoding_message_size: message,
            grpc_max_encoding_message_size: message,
            override_function_registry: Some(Arc::new(functions_known)),
            override_config_producer: Some(Arc::new(configuration)),
            ..ExecutorProcessConfig::default()
        };
        start_executor_process(Arc::new(config)).await.map_err(|e| failed(e.to_string()))
    })
}

/// A listener on a port that nobody has.
async fn bound(at: SocketAddr) -> Result<(TcpListener, u16), String> {
    let listener = TcpListener::bind(at).await.map_err(|e| format!("{at}: {e}"))?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    Ok((listener, port))
}
