//! Which system calls a program may not make, as BPF programs.
//!
//! The lists name what reaches beyond the program's own processes and folder: other processes, name spaces, mounts, keys,
//! the kernel, and memory that outlives it. What is refused gives `EPERM`, so that a test fails with a readable message.
//! Calls newer than the last one we know (and the x32 numbers, which would go round the lists) do not exist: `ENOSYS`.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// Stands for the program's own process number, which is known only after the fork; see [`set_own_pid`].
const OWN_PID: u32 = 0x7fff_fffe;

/// `open_tree_attr`, the last call these lists were checked against (Linux 6.15).
const LAST_KNOWN: u32 = 467;

/// What the rest of the confinement leaves to the filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// The program has a network of its own, so Internet sockets are harmless.
    pub network: bool,
    /// The file system does not stop `chmod`, `chown`, `utime` and extended attributes by path.
    pub metadata: bool,
    /// It does not stop `truncate` by path either.
    pub truncate: bool,
    /// Nothing else stops signals to processes outside.
    pub signals: bool,
    /// The process group must stay whole, because we kill by it.
    pub group: bool,
}

/// `clone3`: the same number on every architecture.
const CLONE3: u32 = 435;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Outcome<T> = Result<T, seccompiler::BackendError>;

/// `open_tree_attr`: the same number on every architecture.
const OPEN_TREE_ATTR: i64 = 467;

const ALWAYS: &[i64] = &[
    OPEN_TREE_ATTR,
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_memfd_secret,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_mq_open,
    libc::SYS_msgget,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_semget,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_shmget,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: &[i64] = &[libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_kexec_file_load, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_HERE: &[i64] = &[];

/// `fchmodat2`, `setxattrat`, `removexattrat`: the same number on every architecture.
const METADATA_NEW: &[i64] = &[452, 463, 466];

const METADATA: &[i64] = &[
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_setxattr,
];

#[cfg(target_arch = "x86_64")]
const METADATA_HERE: &[i64] =
    &[libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const METADATA_HERE: &[i64] = &[];

fn when(argument: u8, op: SeccompCmpOp, value: u64) -> Outcome<SeccompCondition> {
    SeccompCondition::new(argument, Dword, op, value)
}

/// Refuses a call under any of several groups of conditions.
fn refuse(rules: &mut Rules, call: i64, groups: Vec<Vec<SeccompCondition>>) -> Outcome<()> {
    rules.insert(call, groups.into_iter().map(SeccompRule::new).collect::<Outcome<_>>()?);
    Ok(())
}

/// The programs to install, in this order; the last is the one that refuses.
///
/// # Errors
/// Where the processor's architecture is not one that seccompiler knows.
pub(super) fn programs(needs: Needs) -> Outcome<Vec<BpfProgram>> {
    use SeccompCmpOp::{MaskedEq, Ne};
    let mut rules: Rules = ALWAYS.iter().chain(ALWAYS_HERE).map(|&call| (call, Vec::new())).collect();
    if needs.metadata {
        let calls = METADATA.iter().chain(METADATA_HERE).chain(METADATA_NEW);
        rules.extend(calls.map(|&call| (call, Vec::new())));
        // With a path; without one it is `futimens`.
        refuse(&mut rules, libc::SYS_utimensat, vec![vec![SeccompCondition::new(1, Qword, Ne, 0)?]])?;
    }
    if needs.truncate {
        rules.insert(libc::SYS_truncate, Vec::new());
    }
    if needs.signals {
        let own = u64::from(OWN_PID);
        // 0 is the program's own process group.
        refuse(&mut rules, libc::SYS_kill, vec![vec![when(0, Ne, 0)?, when(0, Ne, own)?]])?;
        refuse(&mut rules, libc::SYS_tgkill, vec![vec![when(0, Ne, own)?]])?;
        for call in
            [libc::SYS_tkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo, libc::SYS_pidfd_send_signal]
        {
            rules.insert(call, Vec::new());
        }
    }
    // New name spaces would give back what was taken away.
    let spaces = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    let spaces = spaces.map(|flag| u64::from(flag.cast_unsigned()));
    let groups = spaces.iter().map(|&flag| Ok(vec![when(0, MaskedEq(flag), flag)?])).collect::<Outcome<_>>()?;
    refuse(&mut rules, libc::SYS_clone, groups)?;

    // A UNIX socket could reach a service of this machine by its path. A connected stream pair cannot be sent elsewhere.
    let family = |f: i32| u64::from(f.cast_unsigned());
    let mut others = vec![];
    if needs.network {
        others = vec![when(0, Ne, family(libc::AF_INET))?, when(0, Ne, family(libc::AF_INET6))?];
    }
    if others.is_empty() {
        rules.insert(libc::SYS_socket, Vec::new());
    } else {
        // Raw and packet sockets need rights the program has not, in its own network too.
        refuse(&mut rules, libc::SYS_socket, vec![others])?;
    }
    let stream = vec![when(1, MaskedEq(0xf), family(libc::SOCK_DGRAM))?];
    let packet = vec![when(1, MaskedEq(0xf), family(libc::SOCK_RAW))?];
    refuse(&mut rules, libc::SYS_socketpair, vec![vec![when(0, Ne, family(libc::AF_UNIX))?], stream, packet])?;

    let mut installed = Vec::new();
    if needs.group {
        // Said to succeed: what `subprocess.Popen(start_new_session=True)` wants is not what a test is about.
        installed.push(program([libc::SYS_setsid, libc::SYS_setpgid].map(|call| (call, Vec::new())).into(), 0)?);
    }
    let mut main = ceiling();
    main.extend(program(rules, libc::EPERM)?);
    installed.push(main);
    Ok(installed)
}

fn program(rules: Rules, errno: i32) -> Outcome<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refused = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?.try_into()
}

/// Instructions for the calls that do not exist, and `clone3`, whose flags lie in memory where no filter can look (the C
/// library falls back to `clone`). Every other call falls through.
fn ceiling() -> BpfProgram {
    let load_number = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let above = sock_filter { code: 0x25, jt: 1, jf: 0, k: LAST_KNOWN };
    let clone3 = sock_filter { code: 0x15, jt: 0, jf: 1, k: CLONE3 };
    let missing = sock_filter { code: 0x06, jt: 0, jf: 0, k: 0x0005_0000 | libc::ENOSYS.cast_unsigned() };
    vec![load_number, above, clone3, missing]
}

/// Puts the program's own number where [`OWN_PID`] stands. Allocates nothing: it runs between fork and exec.
pub(super) fn set_own_pid(program: &mut [sock_filter], pid: i32) {
    for instruction in program {
        if instruction.k == OWN_PID {
            instruction.k = pid.cast_unsigned();
        }
    }
}

/// A program as the bytes that `bwrap --seccomp` reads.
pub(super) fn bytes(program: &[sock_filter]) -> Vec<u8> {
    let mut out = Vec::with_capacity(program.len() * 8);
    for i in program {
        out.extend_from_slice(&i.code.to_ne_bytes());
        out.extend_from_slice(&[i.jt, i.jf]);
        out.extend_from_slice(&i.k.to_ne_bytes());
    }
    out
}
