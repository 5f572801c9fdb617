//! What a program in the sandbox cannot do, and what it can: the same for every back end that works here.

use judge::sandbox::{Backend, Error, Limits, Program, Sandbox};
use lexicon::TestOutcome;
use std::{
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The back ends that work here; those that do not are named once.
fn sandboxes() -> &'static [Sandbox] {
    static ALL: OnceLock<Vec<Sandbox>> = OnceLock::new();
    ALL.get_or_init(|| {
        let open = |&backend: &Backend| match Sandbox::with(backend, Path::new("python3"), Limits::default()) {
            Ok(sandbox) => Some(sandbox),
            Err(error) => {
                eprintln!("skipped with {}: {error}", backend.name());
                None
            }
        };
        Backend::ALL.iter().filter_map(open).collect()
    })
}

fn program<'a>(solution: &'a str, script: &'a str) -> Program<'a> {
    // A busy machine must not look like an endless loop.
    Program { solution, script, packages: false, wall: Duration::from_secs(60) }
}

/// Runs a script under every back end and looks at how it ends.
fn check(solution: &str, script: &str, expect: impl Fn(&TestOutcome) -> bool) -> Result {
    for sandbox in sandboxes() {
        let outcome = sandbox.run(&program(solution, script))?;
        assert!(expect(&outcome), "{}: {outcome:?}\n{script}", sandbox.backend());
    }
    Ok(())
}

fn passes(script: &str) -> Result {
    check("", script, TestOutcome::passed)
}

fn fails(solution: &str, script: &str, with: &str) -> Result {
    check(solution, script, |outcome| matches!(outcome, TestOutcome::Failed(text) if text.contains(with)))
}

#[test]
fn one_back_end_works_or_the_refusal_says_what_to_install() -> Result {
    match Sandbox::detect(Path::new("python3")) {
        Ok(sandbox) => assert!(sandboxes().iter().any(|s| s.backend() == sandbox.backend())),
        Err(error) => {
            assert!(sandboxes().is_empty());
            assert!(matches!(error, Error::Unavailable(_) | Error::Python { .. }), "{error}");
            assert!(error.to_string().contains("install") || error.to_string().contains("path"), "{error}");
        }
    }
    Ok(())
}

#[test]
fn an_interpreter_that_is_none_is_refused() {
    for path in ["/nonexistent/python", "/bin/true"] {
        let refusal = Sandbox::detect(Path::new(path)).map(|_| ());
        assert!(matches!(refusal, Err(Error::Python { .. })), "{path}: {refusal:?}");
    }
}

#[test]
fn outcomes() -> Result {
    let solution = "def double(x):\n    return 2 * x\n";
    check(solution, "from solution import double\nassert double(2) == 4\n", TestOutcome::passed)?;
    fails(solution, "from solution import double\nassert double(2) == 5, 'five'\n", "AssertionError: five")?;
    fails(solution, "import solution\nraise SystemExit(3)\n", "")?;
    fails("x = (", "import solution\n", "SyntaxError")?;
    fails("", "import sys\nsys.exit('no')\n", "no")?;
    passes("import sys\nsys.exit(0)\n")?;
    passes("import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        pass\nunittest.main()\n")?;
    fails(
        "",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.fail('this')\nunittest.main()\n",
        "this",
    )?;
    let killed = |outcome: &TestOutcome| matches!(outcome, TestOutcome::Killed(_));
    check("", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", killed)?;
    check("", "import os\nos.abort()\n", killed)
}

#[test]
fn code_cannot_pass_by_ending_the_program() -> Result {
    let script = "from solution import f\nassert f() == 1\n";
    fails("import sys\nsys.exit(0)\n", script, "solution.py ended the program")?;
    fails("def f():\n    exit()\n", script, "solution.py ended the program")?;
    fails("import os\nos._exit(0)\n", script, "before the last line")
}

#[test]
fn what_programs_may_do() -> Result {
    passes(
        "import os, tempfile, shutil, stat, subprocess, sys, threading, pathlib, getpass
open('a', 'w').write('x')
os.chmod('a', 0o600)
assert stat.S_IMODE(os.stat('a').st_mode) == 0o600
pathlib.Path('a').chmod(0o640)
assert stat.S_IMODE(os.stat('a').st_mode) == 0o640
os.utime('a', (1, 2))
assert os.stat('a').st_mtime == 2
shutil.copy2('a', 'b')
os.rename('b', 'c')
os.mkdir('d')
os.symlink('../a', 'd/e')
assert open('d/e').read() == 'x'
with tempfile.TemporaryDirectory() as t:
    assert os.path.realpath(t).startswith(os.path.realpath(os.getcwd()))
    open(os.path.join(t, 'f'), 'w').close()
assert os.path.expanduser('~') == os.getcwd()
assert getpass.getuser() == 'nobody'
out = subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True, start_new_session=True)
assert out.stdout == '42\\n', out
assert subprocess.run('echo hi', shell=True, capture_output=True).stdout == b'hi\\n'
thread = threading.Thread(target=print)
thread.start()
thread.join()
assert 'root' in open('/etc/passwd').read()
assert os.getuid() != 0
",
    )?;
    passes("import asyncio, sqlite3, ssl, hashlib, json, secrets, xml.etree\nasyncio.run(asyncio.sleep(0))\n")
}

#[test]
fn the_same_code_sees_the_same_order() -> Result {
    for sandbox in sandboxes() {
        let seen: Vec<TestOutcome> = (0..3)
            .map(|_| sandbox.run(&program("", "print({str(i) for i in range(20)})\nraise SystemExit(1)\n")))
            .collect::<std::result::Result<_, _>>()?;
        assert!(seen.windows(2).all(|w| w[0] == w[1]), "{seen:?}");
    }
    Ok(())
}

#[test]
fn no_network_and_no_services() -> Result {
    let refused = |what: &str| {
        passes(&format!(
            "import socket\ntry:\n    {what}\nexcept OSError:\n    pass\nelse:\n    raise AssertionError('allowed')\n"
        ))
    };
    refused("socket.create_connection(('192.0.2.1', 80), timeout=0.5)")?;
    refused("socket.create_connection(('2001:db8::1', 80), timeout=0.5)")?;
    refused("socket.getaddrinfo('example.com', 80)")?;
    refused("socket.socket(socket.AF_UNIX)")?;
    refused("socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)")?;
    refused("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)")?;
    refused("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)")?;
    refused("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)")?;
    refused("socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)")?;
    // A service of this machine must not answer either.
    let door = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    refused(&format!("socket.create_connection(('127.0.0.1', {}), timeout=0.5)", door.local_addr()?.port()))
}

#[test]
fn loopback_works_where_the_kernel_grants_a_network() -> Result {
    let script = "import socket
with socket.create_server(('127.0.0.1', 0)) as server:
    with socket.create_connection(server.getsockname()) as client:
        client.sendall(b'x')
        peer, _ = server.accept()
        assert peer.recv(1) == b'x'
";
    for sandbox in sandboxes().iter().filter(|s| s.loopback()) {
        let outcome = sandbox.run(&program("", script))?;
        assert!(outcome.passed(), "{}: {outcome:?}", sandbox.backend());
    }
    Ok(())
}

#[test]
fn files_outside_are_out_of_reach() -> Result {
    let refused = |what: &str| {
        passes(&format!(
            "import os\ntry:\n    {what}\nexcept OSError:\n    pass\nelse:\n    raise AssertionError('allowed')\n"
        ))
    };
    let outside = tempfile::tempdir()?;
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "key")?;
    let (secret, folder) = (secret.display(), outside.path().display());
    let crate_folder = env!("CARGO_MANIFEST_DIR");
    for what in [
        format!("open('{secret}').read()"),
        format!("open('{secret}', 'w')"),
        format!("open('{secret}', 'a')"),
        format!("os.truncate('{secret}', 0)"),
        format!("os.remove('{secret}')"),
        format!("os.rename('{secret}', 'taken')"),
        format!("os.link('{secret}', 'taken') or open('taken').read()"),
        format!("os.symlink('{secret}', 'link') or open('link').read()"),
        format!("os.mkdir('{folder}/made')"),
        format!("os.listdir('{folder}')"),
        format!("os.chmod('{secret}', 0o777)"),
        format!("os.chmod('{folder}', 0o777)"),
        format!("os.chown('{secret}', os.getuid(), os.getgid())"),
        format!("os.utime('{secret}', (1, 1))"),
        format!("os.setxattr('{secret}', 'user.a', b'b')"),
        format!("open('{crate_folder}/Cargo.toml').read()"),
        "os.listdir(os.path.dirname(os.getcwd()) + '/..') and open('/etc/shadow').read()".to_owned(),
        "open('/usr/rampart', 'w')".to_owned(),
        "open('/tmp/rampart', 'w') if not os.path.isdir('/work') else open('/rampart', 'w')".to_owned(),
        "open('/dev/sda', 'rb')".to_owned(),
        "open('/proc/sys/kernel/core_pattern', 'w')".to_owned(),
        "os.mknod('device', 0o060600, os.makedev(8, 0))".to_owned(),
        "os.chroot('.')".to_owned(),
    ] {
        refused(&what)?;
    }
    assert_eq!(std::fs::read_to_string(outside.path().join("secret"))?, "key");
    Ok(())
}

/// The home folder holds keys and tokens; it is the one folder every program knows how to find.
#[test]
fn the_home_folder_is_out_of_reach() -> Result {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test asks where the home folder is, so that it can try to read it"
    )]
    let Some(home) = std::env::var_os("HOME").filter(|h| Path::new(h).is_dir()) else {
        eprintln!("skipped: no home folder");
        return Ok(());
    };
    let home = Path::new(&home);
    let entries = || std::fs::read_dir(home).into_iter().flatten().flatten();
    // Bubblewrap shows the folders on the way to an interpreter that lies below, and nothing in them.
    let (shown, folder) = (entries().count().clamp(1, 2), home.display());
    passes(&format!(
        "import os\ntry:\n    seen = os.listdir('{folder}')\nexcept OSError:\n    seen = []\nassert len(seen) < {shown}, seen\n"
    ))?;
    let files = entries().filter(|e| e.file_type().is_ok_and(|t| t.is_file())).take(5);
    let actions = files.map(|e| format!("open('{}', 'rb').read()", e.path().display()));
    for what in actions.chain([format!("open('{folder}/rampart-test', 'w')")]) {
        let script = format!(
            "import os\ntry:\n    {what}\nexcept OSError:\n    pass\nelse:\n    raise AssertionError('allowed')\n"
        );
        passes(&script)?;
    }
    Ok(())
}

#[test]
fn other_processes_are_out_of_reach() -> Result {
    let mine = std::process::id();
    let script = format!(
        "import os, signal
own = os.path.isdir('/work')
for action in (lambda: os.kill({mine}, signal.SIGTERM), lambda: open('/proc/{mine}/environ').read()):
    try:
        action()
    except OSError:
        continue
    # In a process name space of its own the number is another's.
    assert own, 'allowed'
"
    );
    passes(&script)?;
    passes(
        "import os\nassert not [k for k in os.environ if k.startswith(('CARGO', 'RAMPART', 'RUST'))], os.environ\n",
    )?;
    // No descriptor of ours: only standard input, output and error, and what Python itself opened.
    passes(
        "import os\nfor fd in range(3, 64):\n    try:\n        link = os.fstat(fd)\n    except OSError:\n        continue\n    assert fd < 6, fd\n",
    )
}

#[test]
fn system_calls_that_reach_further_fail() -> Result {
    let script = "import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for number in CALLS:
    ctypes.set_errno(0)
    result = libc.syscall(number, 0, 0, 0, 0, 0)
    assert result == -1 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS), (number, result, ctypes.get_errno())
# A new user name space would give rights back.
ctypes.set_errno(0)
assert libc.unshare(0x10000000) == -1 and ctypes.get_errno() == errno.EPERM
";
    // keyctl, bpf, perf_event_open, userfaultfd, io_uring_setup, ptrace, mount, setns, clone3, one that does not exist yet.
    let calls = [
        libc::SYS_keyctl,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_ptrace,
        libc::SYS_mount,
        libc::SYS_setns,
        libc::SYS_clone3,
        libc::SYS_shmget,
        libc::SYS_open_by_handle_at,
        900,
        0x4000_0000 + 39,
    ];
    passes(&script.replace("CALLS", &format!("{calls:?}")))
}

#[test]
fn an_endless_loop_is_stopped() -> Result {
    for sandbox in sandboxes() {
        let wall = Duration::from_secs(1);
        for script in [
            "while True:\n    pass\n",
            "import time\ntime.sleep(100)\n",
            "import sys\nsys.stdin.read()\nimport time\ntime.sleep(99)\n",
        ] {
            let begun = Instant::now();
            let outcome = sandbox.run(&Program { wall, ..program("", script) })?;
            assert_eq!(outcome, TestOutcome::TimedOut, "{}: {script}", sandbox.backend());
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        }
    }
    Ok(())
}

#[test]
fn memory_files_and_output_are_bounded() -> Result {
    check("", "x = bytearray(4 << 30)\n", |o| matches!(o, TestOutcome::Failed(t) if t.contains("MemoryError")))?;
    fails("", "f = open('big', 'wb')\nwhile True:\n    f.write(bytes(1 << 20))\n", "File too large")?;
    fails("", "print('x' * 50_000_000)\nraise SystemExit('end of the flood')\n", "end of the flood")?;
    check(
        "",
        "for i in range(100_000):\n    print('line', i)\nraise SystemExit(1)\n",
        |outcome| matches!(outcome, TestOutcome::Failed(text) if text.len() <= 2_000 && text.ends_with("line 99999")),
    )
}

#[test]
fn a_fork_bomb_is_bounded() -> Result {
    let script = "import os, time
made = 0
try:
    for _ in range(20_000):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except OSError:
    pass
else:
    raise AssertionError('no limit')
assert made < 5_000, made
";
    for sandbox in sandboxes() {
        if sandbox.backend() == Backend::Bubblewrap.name() && rustix::process::geteuid().is_root() {
            eprintln!(
                "skipped with bubblewrap as root: the system counts no processes of root, so nothing bounds them"
            );
            continue;
        }
        let begun = Instant::now();
        let outcome = sandbox.run(&program("", script))?;
        assert!(outcome.passed(), "{}: {outcome:?}", sandbox.backend());
        // The children are killed with their parent, not waited for.
        assert!(begun.elapsed() < Duration::from_secs(29), "{:?}", begun.elapsed());
    }
    Ok(())
}

/// A child that leaves for a session of its own and ignores signals must not outlive its run.
#[test]
fn nothing_outlives_a_run() -> Result {
    let mark = tempfile::tempdir()?;
    let name = mark.path().file_name().ok_or("name")?.to_string_lossy().into_owned();
    let script = format!(
        "import os, signal, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(300)', '{name}'])
        os._exit(0)
time.sleep(0.3)
"
    );
    passes(&script)?;
    let alive = || {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|p| std::fs::read(p.path().join("cmdline")).ok())
            .filter(|c| String::from_utf8_lossy(c).contains(&name))
            .count()
    };
    let begun = Instant::now();
    while alive() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} processes still run", alive());
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn many_run_at_a_time() -> Result {
    for sandbox in sandboxes() {
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let run = |n: usize| {
                move || {
                    let script = format!("open('own', 'x').write('{n}')\nassert open('own').read() == '{n}'\n");
                    (0..5).map(|_| sandbox.run(&program("", &script))).collect::<Vec<_>>()
                }
            };
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(run(n))).collect();
            threads.into_iter().flat_map(|t| t.join().unwrap_or_default()).collect()
        });
        assert_eq!(outcomes.len(), 20);
        for outcome in outcomes {
            assert_eq!(outcome?, TestOutcome::Passed);
        }
    }
    Ok(())
}
