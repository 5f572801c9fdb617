# Tries what the sandbox must refuse; anything that works is a failure. Passes only in a sandbox that holds.
import os
import socket

home = os.path.abspath("here")
with open(home, "w") as file:
    file.write("x")
assert open(home).read() == "x", "its own folder is not writable"
os.remove(home)


def refused(what, action):
    try:
        action()
    except OSError:
        return
    raise AssertionError(f"the sandbox allows {what}")


def connect(address):
    with socket.create_connection(address, timeout=0.2):
        pass


def write(path):
    with open(path, "w"):
        pass


refused("writing beside its folder", lambda: write(os.path.join(os.path.dirname(os.getcwd()), "rampart-probe")))
refused("writing to /usr", lambda: write("/usr/rampart-probe"))
refused("reading beside its folder", lambda: open("@SECRET@").close())
refused("removing what lies beside its folder", lambda: os.remove("@SECRET@"))
refused("changing the kernel's settings", lambda: write("/proc/sys/kernel/core_pattern"))
refused("reading /etc/shadow", lambda: open("/etc/shadow").close())
refused("a connection to the network", lambda: connect(("192.0.2.1", 80)))
refused("a change of another's mode", lambda: os.chmod("/etc/passwd", 0o644))
refused("a connection to a service of this machine", lambda: connect(("127.0.0.1", @PORT@)))
refused("a look into the process that started it", lambda: open("/proc/@PARENT@/environ").close())
