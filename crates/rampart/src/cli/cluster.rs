//! `rampart cluster`: a scheduler and executors of Ballista that know our functions.

use super::{exit, terminal};
use anyhow::{Context as _, Result};
use commits::cluster::{Executor, Scheduler, execute, schedule};
use std::{net::SocketAddr, path::PathBuf};

/// Runs a part of a cluster that reads tables of commits for `rampart data mine --scheduler`: one scheduler, and executors that
/// see the tables under the same paths. All are of the same version.
///
/// Nobody is asked who they are: whoever reaches a scheduler or an executor may have it read any file that it can read. They
/// listen to this machine alone unless told otherwise; give them a network of their own.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart cluster scheduler
  rampart cluster executor --scheduler http://127.0.0.1:50050 --tasks 8
  rampart data mine --commits /shared/commits --out runs/mined --scheduler http://127.0.0.1:50050")]
pub(crate) struct Args {
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand, Debug)]
enum Part {
    /// Divides what is to be read into tasks, and gives those of a lost executor to others. Prints its address once it listens.
    Scheduler {
        /// Where to listen; port 0 takes any.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:50050")]
        listen: SocketAddr,
        /// Seconds without a sign of life after which an executor is lost.
        #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=86_400))]
        lost_after: u64,
    },
    /// Runs tasks. It ends when it is killed; its tasks are then run by others.
    Executor {
        /// Its scheduler.
        #[arg(long, value_name = "URL")]
        scheduler: String,
        /// Where to listen, for results; tasks come on the port after it. Port 0 takes any two.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Name under which scheduler and executors reach it, if not by that address.
        #[arg(long)]
        name: Option<String>,
        /// Tasks at once; one a processor where none is said.
        #[arg(long)]
        tasks: Option<std::num::NonZeroU16>,
        /// Where results lie until they are fetched; a temporary folder where none is said.
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    match &args.part {
        Part::Scheduler { listen, lost_after } => {
            let mut printed = Ok(());
            let started = |address| printed = terminal::answer(format_args!("http://{address}"));
            schedule(&Scheduler { listen: *listen, lost_after: *lost_after }, started)?;
            printed?;
        }
        Part::Executor { scheduler, listen, name, tasks, folder } => {
            let address = scheduler.strip_prefix("http://").map(|a| a.trim_end_matches('/'));
            let address = address.and_then(|a| a.rsplit_once(':'));
            let address = address.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
            let address = address.with_context(|| format!("--scheduler {scheduler:?} is no http://host:port"))?;
            let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let temporary = match folder {
                Some(folder) => {
                    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
                    None
                }
                None => Some(tempfile::tempdir().context("cannot make a temporary folder")?),
            };
            let folder = folder.clone().or_else(|| temporary.as_ref().map(|t| t.path().to_owned()));
            execute(&Executor {
                scheduler: address,
                listen: *listen,
                name: name.clone(),
                tasks: tasks.map_or(processors, |n| n.get().into()),
                folder: folder.unwrap_or_default(),
            })?;
        }
    }
    Ok(exit::CLEAN)
}
