//! Several processes as one: sums over ranks through libtorch's c10d and its Gloo, started by `torchrun --no-python`, Slurm or
//! anything else that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
//!
//! What is summed travels through the processors' memory, whatever device computes: gradients of adapters are small.

use crate::{Error, Result};
use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    time::Duration,
};
use tch::{Device, Kind, Tensor, no_grad};

#[expect(unsafe_code, reason = "libtorch's c10d, through shim/ranks.cpp")]
unsafe extern "C" {
    fn rampart_ranks_open(
        host: *const c_char,
        port: u16,
        rank: c_int,
        world: c_int,
        serves: c_int,
        prefix: *const c_char,
        own_address: *const c_char,
        timeout_ms: i64,
        out: *mut *mut c_void,
    ) -> *mut c_char;
    fn rampart_ranks_sum(ranks: *mut c_void, tensor: *mut c_void) -> *mut c_char;
    fn rampart_ranks_close(ranks: *mut c_void);
    fn rampart_ranks_free(message: *mut c_char);
}

/// How long a rank waits for the others: the longest step and checkpoint of any of them must fit.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Where the processes meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Number of this process.
    pub rank: usize,
    /// Number of processes.
    pub world: usize,
    /// Number of this process among those of its machine: its device.
    pub local: usize,
    /// Host of the store they meet at.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether somebody else (torchrun's agent) already runs the store.
    pub served: bool,
    /// What stands before this start's keys in the store: a store outlives restarts.
    pub prefix: String,
}

impl Meeting {
    /// What the environment says, through `variable`; `None` where this process is alone.
    ///
    /// # Errors
    /// [`Error::Unavailable`] naming the variable that is missing or no number.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        // Slurm names the first two otherwise; a job of several tasks that set no meeting place is no group.
        let first = |names: &[&str]| names.iter().find_map(|n| variable(n));
        let (Some(world), Some(host)) = (first(&["WORLD_SIZE", "SLURM_NTASKS"]), variable("MASTER_ADDR")) else {
            return Ok(None);
        };
        let number = |name: &str, value: Option<String>| {
            let value = value.ok_or_else(|| Error::Unavailable(format!("MASTER_ADDR is set and {name} is not")))?;
            value.parse::<usize>().map_err(|_| Error::Unavailable(format!("{name} is {value:?}, expected a number")))
        };
        let world = number("WORLD_SIZE", Some(world))?;
        let rank = number("RANK", first(&["RANK", "SLURM_PROCID"]))?;
        let port = number("MASTER_PORT", variable("MASTER_PORT"))?;
        if world == 0 || rank >= world {
            return Err(Error::Unavailable(format!(
                "RANK is {rank} and WORLD_SIZE {world}: ranks are below their number"
            )));
        }
        let local = number("LOCAL_RANK", first(&["LOCAL_RANK", "SLURM_LOCALID"]).or_else(|| Some("0".into())))?;
        let port = u16::try_from(port)
            .map_err(|_| Error::Unavailable(format!("MASTER_PORT is {port}, expected 0..=65535")))?;
        let attempt = variable("TORCHELASTIC_RESTART_COUNT").unwrap_or_else(|| "0".into());
        let served = variable("TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True");
        Ok((world > 1).then(|| Self { rank, world, local, host, port, served, prefix: format!("/rampart/{attempt}") }))
    }
}

/// The processes of a run.
#[derive(Debug)]
pub struct Ranks {
    rank: usize,
    world: usize,
    local: usize,
    /// `None` where this process is alone.
    handle: Option<*mut c_void>,
}

impl Ranks {
    /// One process, for which every sum is its own value.
    #[must_use]
    pub const fn alone() -> Self {
        Self { rank: 0, world: 1, local: 0, handle: None }
    }

    /// Waits for the other processes.
    ///
    /// # Errors
    /// [`Error::Ranks`] when they do not come, or the address cannot be used.
    #[expect(unsafe_code, reason = "strings that live through the call; the handle is closed once, on drop")]
    pub fn meet(meeting: &Meeting) -> Result<Self> {
        let text = |s: &str| CString::new(s).map_err(|_| Error::Unavailable(format!("{s:?} holds a zero byte")));
        let host = text(&meeting.host)?;
        let prefix = text(&meeting.prefix)?;
        // Ranks of one machine meet on its loopback; otherwise each is reached under its host's name.
        let local = ["127.0.0.1", "localhost", "::1"].contains(&meeting.host.as_str());
        let own = text(if local { &meeting.host } else { "" })?;
        let serves = c_int::from(meeting.rank == 0 && !meeting.served);
        let mut handle = std::ptr::null_mut();
        // SAFETY: the strings outlive the call; `handle` is written on success only.
        let message = unsafe {
            rampart_ranks_open(
                host.as_ptr(),
                meeting.port,
                meeting.rank as c_int,
                meeting.world as c_int,
                serves,
                prefix.as_ptr(),
                own.as_ptr(),
                i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX),
                &raw mut handle,
            )
        };
        check(message, meeting.rank, "cannot meet the others")?;
        Ok(Self { rank: meeting.rank, world: meeting.world, local: meeting.local, handle: Some(handle) })
    }

    /// Number of this process.
    #[must_use]
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// Number of processes.
    #[must_use]
    pub const fn world(&self) -> usize {
        self.world
    }

    /// Number of this process among those of its machine.
    #[must_use]
    pub const fn local(&self) -> usize {
        self.local
    }

    /// Whether this process writes what a run leaves behind.
    #[must_use]
    pub const fn writes(&self) -> bool {
        self.rank == 0
    }

    /// Adds these values over all ranks; every rank gets the same bits.
    ///
    /// # Errors
    /// [`Error::Ranks`] when a rank is lost.
    pub fn sum(&self, values: &mut [f64]) -> Result<()> {
        if self.handle.is_none() || values.is_empty() {
            return Ok(());
        }
        let tensor = Tensor::from_slice(values);
        self.add(&tensor)?;
        tensor.copy_data(values, values.len());
        Ok(())
    }

    /// Adds the gradients of these tensors over all ranks. A tensor that this rank's part did not reach counts as zero.
    ///
    /// # Errors
    /// [`Error::Ranks`] when a rank is lost.
    pub fn sum_gradients(&self, tensors: &[(String, Tensor)]) -> Result<()> {
        if self.handle.is_none() {
            return Ok(());
        }
        no_grad(|| {
            for (_, t) in tensors {
                if !t.grad().defined() {
                    crate::linear::accumulate(t, &t.zeros_like());
                }
            }
            let flat: Vec<Tensor> = tensors.iter().map(|(_, t)| t.grad().flatten(0, -1)).collect();
            let flat = Tensor::cat(&flat, 0).to_device(Device::Cpu).to_kind(Kind::Float);
            self.add(&flat)?;
            let mut at = 0;
            for (_, t) in tensors {
                let n = t.numel() as i64;
                t.grad().copy_(&flat.narrow(0, at, n).view_as(t));
                at += n;
            }
            Ok(())
        })
    }

    /// Waits until every rank is here.
    ///
    /// # Errors
    /// [`Error::Ranks`] when one is lost.
    pub fn wait(&self) -> Result<()> {
        self.sum(&mut [0.0])
    }

    #[expect(unsafe_code, reason = "a contiguous tensor on the processor, which lives through the call")]
    fn add(&self, tensor: &Tensor) -> Result<()> {
        let Some(handle) = self.handle else { return Ok(()) };
        // SAFETY: the handle is open until drop, the tensor lives until the sum is done: the call waits for it.
        check(unsafe { rampart_ranks_sum(handle, tensor.as_ptr().cast_mut().cast()) }, self.rank, "lost another rank")
    }
}

impl Drop for Ranks {
    #[expect(unsafe_code, reason = "opened once, closed once")]
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // SAFETY: the handle came from `rampart_ranks_open` and is not used again.
            unsafe { rampart_ranks_close(handle) }
        }
    }
}

/// The message as an error, and freed.
#[expect(unsafe_code, reason = "a C string that the shim allocated")]
fn check(message: *mut c_char, rank: usize, what: &'static str) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a zero-terminated string that this call owns and frees once.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        rampart_ranks_free(message);
        text
    };
    let line = text.lines().next().unwrap_or_default().to_owned();
    Err(Error::Ranks { rank, what, message: line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_who_meets_where() -> Result<()> {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            Meeting::of(move |name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        assert_eq!(of(&[])?, None);
        assert_eq!(of(&[("WORLD_SIZE", "1"), ("RANK", "0"), ("MASTER_ADDR", "h"), ("MASTER_PORT", "1")])?, None);
        // A Slurm job that sets no meeting place runs several programs, not one.
        assert_eq!(of(&[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "2")])?, None);
        let slurm =
            of(&[("SLURM_NTASKS", "4"), ("SLURM_PROCID", "2"), ("MASTER_ADDR", "h"), ("MASTER_PORT", "29500")])?;
        assert_eq!(slurm.map(|m| (m.rank, m.world, m.host, m.port, m.served)), Some((2, 4, "h".into(), 29500, false)));
        let torchrun = [
            ("WORLD_SIZE", "2"),
            ("RANK", "1"),
            ("MASTER_ADDR", "h"),
            ("MASTER_PORT", "9"),
            ("TORCHELASTIC_USE_AGENT_STORE", "True"),
            ("TORCHELASTIC_RESTART_COUNT", "3"),
        ];
        assert_eq!(of(&torchrun)?.map(|m| (m.served, m.prefix)), Some((true, "/rampart/3".into())));
        for (wrong, expect) in [
            (vec![("WORLD_SIZE", "2"), ("MASTER_ADDR", "h"), ("MASTER_PORT", "9")], "RANK is not"),
            (vec![("WORLD_SIZE", "2"), ("RANK", "1"), ("MASTER_ADDR", "h")], "MASTER_PORT is not"),
            (vec![("WORLD_SIZE", "2"), ("RANK", "2"), ("MASTER_ADDR", "h"), ("MASTER_PORT", "9")], "ranks are below"),
            (
                vec![("WORLD_SIZE", "two"), ("RANK", "0"), ("MASTER_ADDR", "h"), ("MASTER_PORT", "9")],
                "expected a number",
            ),
            (vec![("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "h"), ("MASTER_PORT", "99999")], "0..=65535"),
        ] {
            let said = of(&wrong).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(said.contains(expect), "{said:?} should contain {expect:?}");
        }
        Ok(())
    }
}
