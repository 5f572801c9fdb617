# Runs test.py as __main__ and says whether it came to its last line. Lives in the sandbox's `python -c`.
def _boot():
    import builtins, os, sys

    started, token = os.environ.pop("RAMPART_TOKEN").encode().split(b" ")
    by_descriptor = os.environ.pop("RAMPART_BY_DESCRIPTOR", None)
    processes = os.environ.pop("RAMPART_PROCESSES", None)
    answer = os.dup(1)
    os.write(answer, started)
    if processes:
        # Here and not outside: in a user name space of its own the system counts this program's processes alone.
        import resource

        resource.setrlimit(resource.RLIMIT_NPROC, (int(processes), int(processes)))
    sys.argv = ["test.py"]
    sys.path[0] = os.getcwd()
    if not hasattr(builtins, "exit"):
        import _sitebuiltins

        builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D")
        builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D")

    if by_descriptor:
        # Landlock cannot say whose mode, owner or times a path may change, so those calls are forbidden by path and
        # allowed on a file the program could open. What Python offers by path is done so here.
        def by_fd(call, flags_of):
            def by_path(path, *args, dir_fd=None, follow_symlinks=True, **more):
                if isinstance(path, int):
                    return call(path, *args, **more)
                flags = os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_symlinks else os.O_NOFOLLOW)
                try:
                    fd = os.open(path, flags | os.O_RDONLY, dir_fd=dir_fd)
                except PermissionError:
                    fd = os.open(path, flags | os.O_WRONLY, dir_fd=dir_fd)
                try:
                    return call(fd, *args, **more)
                finally:
                    os.close(fd)

            by_path.__name__ = by_path.__qualname__ = flags_of
            return by_path

        for name in ("chmod", "chown", "utime"):
            replaced = getattr(os, name)
            shown = by_fd(replaced, name)
            for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
                if replaced in known:
                    known.add(shown)
            setattr(os, name, shown)

    with open("test.py", "rb") as file:
        code = compile(file.read(), "test.py", "exec", dont_inherit=True)
    space = globals()
    del space["_boot"]
    space["__file__"] = os.path.join(os.getcwd(), "test.py")
    try:
        exec(code, space)
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise
        # unittest.main() ends so; the code under test may not.
        trace = ended.__traceback__
        while trace:
            if os.path.basename(trace.tb_frame.f_code.co_filename) == "solution.py":
                raise SystemExit("solution.py ended the program") from None
            trace = trace.tb_next
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    os.write(answer, token)


_boot()
