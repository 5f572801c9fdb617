//! The parts of a cluster, as processes of the program that includes this.
#![expect(clippy::disallowed_methods, reason = "a program that starts itself as the parts of a cluster")]

use crate::synthetic::Outcome;
use commits::cluster::{Executor, Scheduler, execute, schedule};
use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

/// What a process is to be: `scheduler`, or an executor's folder and its scheduler's address.
const PART: &str = "RAMPART_TEST_PART";

/// Is a part of a cluster until it is killed, where this program was started as one; says otherwise that it was not.
pub(crate) fn be() -> Outcome<bool> {
    let Ok(part) = env::var(PART) else { return Ok(false) };
    let listen: SocketAddr = "127.0.0.1:0".parse()?;
    match part.split_once(' ') {
        None => schedule(&Scheduler { listen, lost_after: 3 }, |address| println!("listens {address}"))?,
        Some((folder, scheduler)) => {
            let (host, port) = scheduler.split_once(':').ok_or("an address")?;
            let scheduler = (host.to_owned(), port.parse()?);
            execute(&Executor { scheduler, listen, name: None, tasks: 1, folder: folder.into() })?;
        }
    }
    Ok(true)
}

/// A process that ends with this.
pub(crate) struct Running {
    process: Child,
    /// What it says; whoever stops hearing it ends it.
    _output: Option<Box<dyn Iterator<Item = String>>>,
}

impl Running {
    /// A scheduler, and its address. `arguments` bring this program to call [`be`].
    pub(crate) fn scheduler(arguments: &[&str]) -> Outcome<(Self, String)> {
        let mut process = start("scheduler", arguments, Stdio::piped())?;
        let output = process.stdout.take().ok_or("its output")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let address = lines.find_map(|l| Some(l.split_once("listens ")?.1.to_owned()));
        Ok((Self { process, _output: Some(Box::new(lines)) }, address.ok_or("no scheduler")?))
    }

    /// An executor of one task at once, in a folder that it makes.
    pub(crate) fn executor(arguments: &[&str], folder: &Path, scheduler: &str) -> Outcome<Self> {
        fs::create_dir(folder)?;
        let process = start(&format!("{} {scheduler}", folder.display()), arguments, Stdio::null())?;
        Ok(Self { process, _output: None })
    }
}

fn start(part: &str, arguments: &[&str], output: Stdio) -> Outcome<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).env(PART, part).stdin(Stdio::null()).stdout(output);
    Ok(command.spawn()?)
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
