//! Our own launcher: Landlock for files, seccomp for system calls, resource limits, a network name space where granted.
//!
//! The child confines itself between fork and exec. All that needs memory is made before the fork, because only the
//! forking thread lives on in the child and another may have held the allocator's lock.

use super::{
    Error, Interpreter, Limits, Program, environment,
    process::{self, Ended},
    python::{BY_DESCRIPTOR, Token},
    seccomp::{self, Needs},
    step,
};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};
use seccompiler::BpfProgram;
use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::{fs::chown, process::CommandExt},
    },
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Folders and files of the system that every program may read.
pub(super) const READABLE: &[&str] = &[
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/sbin",
    "/nix/store",
    "/etc/alternatives",
    "/etc/group",
    "/etc/hosts",
    "/etc/java-11-openjdk",
    "/etc/java-17-openjdk",
    "/etc/java-21-openjdk",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
];

/// Device that may be written as well.
const SINK: &str = "/dev/null";

/// First of the 400 user numbers that root's programs get in turn; Debian leaves them unassigned, and no container maps
/// fewer than 65,536.
const FIRST_USER: u32 = 64_100;

/// How a child gets a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    /// Not at all: no sockets.
    None,
    /// As root: a network name space.
    Own,
    /// As anyone else: a user name space first.
    OwnUser,
}

/// Landlock, seccomp and resource limits.
#[derive(Debug)]
pub(super) struct Launcher {
    abi: ABI,
    readable: Vec<(PathFd, BitFlags<AccessFs>)>,
    root: bool,
    network: Network,
    limits: Limits,
    others: Others,
    next_user: AtomicU32,
}

impl Launcher {
    /// Prepares what is the same for all programs.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without Landlock.
    pub(super) fn find(interpreter: &Interpreter, limits: Limits) -> Result<Self, Error> {
        Self::of_abi(interpreter, limits, abi()?)
    }

    pub(super) fn of_abi(interpreter: &Interpreter, limits: Limits, abi: ABI) -> Result<Self, Error> {
        let mut readable = Vec::new();
        let paths = READABLE.iter().map(Path::new).chain(interpreter.folders.iter().map(|f| f.as_path()));
        for path in paths {
            // What this system does not have needs no permission.
            let Ok(meta) = fs::metadata(path) else { continue };
            let Ok(fd) = PathFd::new(path) else { continue };
            let access = AccessFs::from_read(abi);
            readable.push((fd, if meta.is_dir() { access } else { access & AccessFs::from_file(abi) }));
        }
        if let Ok(fd) = PathFd::new(SINK) {
            readable.push((fd, AccessFs::from_file(abi)));
        }
        let root = rustix::process::geteuid().is_root();
        let network = if root { Network::Own } else { Network::OwnUser };
        let others = Others::count();
        Ok(Self { abi, readable, root, network, limits, others, next_user: AtomicU32::new(0) })
    }

    /// Goes on without a network, so without sockets; false where that is so already.
    pub(super) fn without_network(&mut self) -> bool {
        std::mem::replace(&mut self.network, Network::None) != Network::None
    }

    pub(super) const fn loopback(&self) -> bool {
        !matches!(self.network, Network::None)
    }

    fn ruleset(&self, folder: &Path) -> Result<OwnedFd, Error> {
        let fail = |e: &dyn std::fmt::Display| Error::Unavailable(vec![format!("landlock: {e}")]);
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(self.abi))
            .map_err(|e| fail(&e))?;
        let scopes = Scope::from_all(self.abi);
        if !scopes.is_empty() {
            ruleset = ruleset.scope(scopes).map_err(|e| fail(&e))?;
        }
        let mut created = ruleset.create().map_err(|e| fail(&e))?;
        for (fd, access) in &self.readable {
            created = created.add_rule(PathBeneath::new(fd, *access)).map_err(|e| fail(&e))?;
        }
        let own = PathFd::new(folder).map_err(|e| fail(&e))?;
        created = created.add_rule(PathBeneath::new(own, AccessFs::from_all(self.abi))).map_err(|e| fail(&e))?;
        Option::<OwnedFd>::from(created).ok_or_else(|| fail(&"the kernel does not enforce it"))
    }

    /// Runs a program whose files lie in `folder`.
    pub(super) fn run(
        &self,
        interpreter: &Interpreter,
        program: &Program,
        folder: &Path,
        token: &Token,
    ) -> Result<Ended, Error> {
        let user = self.root.then(|| FIRST_USER + self.next_user.fetch_add(1, Ordering::Relaxed) % 400);
        if let Some(user) = user {
            chown(folder, Some(user), Some(user)).map_err(step("give the folder to the program's user"))?;
        }
        let ruleset = self.ruleset(folder)?;
        let programs = seccomp::programs(Needs {
            network: self.loopback(),
            metadata: true,
            truncate: self.abi < ABI::V3,
            signals: self.abi < ABI::V6,
            group: true,
        })
        .map_err(|e| Error::Unavailable(vec![format!("seccomp: {e}")]))?;
        // Under root each program has a user of its own.
        let others = if self.root { 0 } else { self.others.beside(self.network == Network::OwnUser) };
        let seconds = program.wall.as_secs() + 1;
        let mut child = Child {
            parent: rustix::process::getpid().as_raw_nonzero().get(),
            network: self.network,
            limits: limits(self.limits, Some(self.limits.processes + others), seconds),
            user,
            ruleset: ruleset.as_raw_fd(),
            programs,
        };

        #[expect(
            clippy::disallowed_methods,
            reason = "this is the sandbox: the child confines itself before it starts"
        )]
        let mut command = Command::new(&interpreter.program);
        command.args(interpreter.arguments(program)).current_dir(folder);
        environment(&mut command, folder, token);
        command.env(BY_DESCRIPTOR, "1");
        #[expect(unsafe_code, reason = "the only place between fork and exec")]
        // SAFETY: `Child::confine` only makes system calls on memory that exists before the fork: it neither allocates nor
        // takes a lock, and its errors are plain numbers.
        unsafe {
            command.pre_exec(move || child.confine());
        }
        let ended = process::supervise_in(command, program.wall, self.limits.output, false);
        // The child has its own copy; ours had to live until the fork.
        drop(ruleset);
        ended.map_err(|error| match error.raw_os_error().and_then(Stage::of) {
            Some((stage, errno)) => {
                let source = io::Error::from_raw_os_error(errno);
                Error::Unavailable(vec![format!("{}: {source}", stage.name())])
            }
            None => Error::Step { step: "start python", source: error },
        })
    }
}

/// Version of Landlock that both the kernel and the crate know.
fn abi() -> Result<ABI, Error> {
    const VERSION: libc::c_uint = 1;
    #[expect(unsafe_code, reason = "the crate does not tell the kernel's version")]
    // SAFETY: a null attribute of size 0 with this flag only asks for a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION) };
    match i32::try_from(version) {
        // What is newer than the crate is read as the newest it knows.
        Ok(version) if version > 0 => Ok(ABI::from(version)),
        _ => Err(Error::Unavailable(vec![format!("landlock: {}", io::Error::last_os_error())])),
    }
}

/// Processes that the system counts with a program's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    of_user: u64,
    /// Whether the system counts by user name space (Linux 5.14).
    by_space: bool,
}

impl Others {
    /// Counts those of our user.
    pub(super) fn count() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        // A desktop's user starts programs all the time: leave room for them.
        let of_user = threads_of(rustix::process::getuid().as_raw()) + 256;
        Self { of_user, by_space: version >= (5, 14) }
    }

    /// How many to add to a program's limit.
    pub(super) const fn beside(self, own_space: bool) -> u64 {
        if own_space && self.by_space { 0 } else { self.of_user }
    }
}

/// Threads of a user on this machine.
fn threads_of(user: u32) -> u64 {
    let of = |status: String| -> Option<u64> {
        let field = |name: &str| {
            status.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok())
        };
        (field("Uid:")? == u64::from(user)).then(|| field("Threads:"))?
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let statuses = processes.filter_map(|p| fs::read_to_string(p.path().join("status")).ok());
    statuses.filter_map(of).sum()
}

/// Pairs of a resource and its limit, none above what we ourselves have. `processes` is absent where the program sets it.
pub(super) fn limits(limits: Limits, processes: Option<u64>, seconds: u64) -> Vec<(rlimit::Resource, u64)> {
    use rlimit::Resource;
    let fixed = [
        (Resource::AS, limits.memory),
        (Resource::CPU, seconds),
        (Resource::FSIZE, limits.file),
        (Resource::NOFILE, limits.files),
        (Resource::CORE, 0),
        (Resource::MEMLOCK, 0),
    ];
    let processes = processes.map(|limit| (Resource::NPROC, limit));
    let all = fixed.into_iter().chain(processes);
    all.map(|(resource, limit)| (resource, limit.min(resource.get_hard().unwrap_or(limit)))).collect()
}

/// What the child was doing when the system said no.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
enum Stage {
    Session = 1,
    Descriptors,
    Network,
    Limits,
    User,
    Parent,
    Privileges,
    Landlock,
    Seccomp,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Session,
        Self::Descriptors,
        Self::Network,
        Self::Limits,
        Self::User,
        Self::Parent,
        Self::Privileges,
        Self::Landlock,
        Self::Seccomp,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Session => "a session of its own",
            Self::Descriptors => "closing descriptors",
            Self::Network => "a network of its own",
            Self::Limits => "resource limits",
            Self::User => "becoming an ordinary user",
            Self::Parent => "ending with its parent",
            Self::Privileges => "giving up privileges",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }

    /// Only a number crosses from the child to its parent, so it carries both.
    fn of(code: i32) -> Option<(Self, i32)> {
        let stage = Self::ALL.into_iter().find(|s| *s as i32 == code / 10_000)?;
        Some((stage, code % 10_000))
    }

    fn check(self, result: libc::c_long) -> io::Result<()> {
        if result >= 0 {
            return Ok(());
        }
        let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Err(io::Error::from_raw_os_error(self as i32 * 10_000 + errno))
    }
}

/// Everything the child needs, made before the fork.
struct Child {
    parent: i32,
    network: Network,
    limits: Vec<(rlimit::Resource, u64)>,
    user: Option<u32>,
    ruleset: RawFd,
    programs: Vec<BpfProgram>,
}

#[expect(unsafe_code, reason = "raw system calls: the C library's wrappers may lock or signal other threads")]
impl Child {
    /// Confines the calling process for good. Runs between fork and exec.
    fn confine(&mut self) -> io::Result<()> {
        // SAFETY (all calls): they take numbers, or pointers to values that live on this stack frame or in `self`, with the
        // sizes the kernel expects; none keeps a pointer after it returns.
        unsafe {
            // Its own session: no terminal to write to, and a process group to kill.
            Stage::Session.check(libc::syscall(libc::SYS_setsid))?;
            // What a library opened without close-on-exec is not the program's.
            let all = libc::c_uint::MAX;
            Stage::Descriptors.check(libc::syscall(libc::SYS_close_range, 3_u32, all, libc::CLOSE_RANGE_CLOEXEC))?;
            // The first to go when memory runs out. Without /proc it is one like any other.
            let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if score >= 0 {
                let _ = libc::write(score, c"1000".as_ptr().cast(), 4);
                let _ = libc::close(score);
            }
            self.enter_network()?;
            for &(resource, limit) in &self.limits {
                if rlimit::setrlimit(resource, limit, limit).is_err() {
                    Stage::Limits.check(-1)?;
                }
            }
            if let Some(user) = self.user {
                become_user(user)?;
            }
            // After the change of user, which resets it. If the parent ended before, nobody would tell us.
            Stage::Parent.check(libc::c_long::from(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)))?;
            if libc::getppid() != self.parent {
                Stage::Parent.check(-1)?;
            }
            let [on, off]: [libc::c_ulong; 2] = [1, 0];
            Stage::Privileges.check(libc::c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, off, off, off)))?;
            Stage::Landlock.check(libc::syscall(libc::SYS_landlock_restrict_self, self.ruleset, 0_u32))?;
            let own = libc::getpid();
            for program in &mut self.programs {
                seccomp::set_own_pid(program, own);
                if seccompiler::apply_filter(program).is_err() {
                    Stage::Seccomp.check(-1)?;
                }
            }
        }
        Ok(())
    }

    /// Enters an empty network and starts its loopback device.
    fn enter_network(&self) -> io::Result<()> {
        let flags = match self.network {
            Network::None => return Ok(()),
            Network::Own => libc::CLONE_NEWNET,
            Network::OwnUser => libc::CLONE_NEWUSER | libc::CLONE_NEWNET,
        };
        // SAFETY: as in `confine`; `ifreq` is plain data, for which zeros are valid.
        unsafe {
            Stage::Network.check(libc::syscall(libc::SYS_unshare, flags))?;
            let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            Stage::Network.check(libc::c_long::from(socket))?;
            let mut request: libc::ifreq = std::mem::zeroed();
            for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
                *to = from.cast_signed();
            }
            request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
            let up = libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw const request);
            Stage::Network.check(libc::c_long::from(up))?;
            let _ = libc::close(socket);
        }
        Ok(())
    }
}

/// Turns root into an ordinary user that may still read where Landlock lets it: the interpreter may lie in root's home.
#[expect(unsafe_code, reason = "raw system calls: the C library would change the user of every thread")]
fn become_user(user: u32) -> io::Result<()> {
    const READ_AND_SEARCH: u32 = 2;
    const VERSION_3: u32 = 0x2008_0522;
    let bit = 1_u32 << READ_AND_SEARCH;
    let header: [u32; 2] = [VERSION_3, 0];
    // Effective, permitted, inheritable; the second half is for capabilities from 32 on.
    let sets: [u32; 6] = [bit, bit, bit, 0, 0, 0];
    let [on, off]: [libc::c_ulong; 2] = [1, 0];
    let user = libc::c_ulong::from(user);
    // SAFETY: numbers, and pointers to two arrays of the sizes that version 3 of the call reads.
    unsafe {
        Stage::User.check(libc::syscall(libc::SYS_setgroups, off, std::ptr::null::<libc::gid_t>()))?;
        Stage::User.check(libc::c_long::from(libc::prctl(libc::PR_SET_KEEPCAPS, on, off, off, off)))?;
        Stage::User.check(libc::syscall(libc::SYS_setresgid, user, user, user))?;
        Stage::User.check(libc::syscall(libc::SYS_setresuid, user, user, user))?;
        Stage::User.check(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()))?;
        let (raise, which) = (libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong, libc::c_ulong::from(READ_AND_SEARCH));
        Stage::User.check(libc::c_long::from(libc::prctl(libc::PR_CAP_AMBIENT, raise, which, off, off)))
    }
}
