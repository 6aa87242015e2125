"""Hosts in network namespaces, and the router between them."""

import contextlib
import ctypes
import os
import subprocess

PREFIX = os.environ["REHEARSAL_PREFIX"]
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, stdin=subprocess.DEVNULL, timeout=30)


class Host:
    """A namespace with a loopback of its own, and names of its own in /etc/hosts."""

    def __init__(self, name):
        self.namespace = f"{PREFIX}-{name}"
        self._names = f"/etc/netns/{self.namespace}/hosts"
        ip("netns", "add", self.namespace)
        self.ip("link", "set", "lo", "up")
        os.makedirs(os.path.dirname(self._names))
        self.set_names({})

    def ip(self, *arguments):
        ip("-n", self.namespace, *arguments)

    def command(self, *words):
        """What runs `words` on this host."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def set_names(self, addresses):
        """Replaces /etc/hosts, for what runs already as well: the file stays the same one."""
        lines = [f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **addresses}.items()]
        text = "".join(lines).encode("ascii")
        # Over the old lines, since a file that is emptied first has no names for whoever reads it just then.
        names = os.open(self._names, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(names, text, 0)
            os.ftruncate(names, len(text))
        finally:
            os.close(names)

    def enter(self):
        """Moves the calling thread to this host: its sockets are made here from then on."""
        with open(f"/run/netns/{self.namespace}", encoding="ascii") as namespace:
            move(namespace)

    @contextlib.contextmanager
    def visited(self):
        """Moves the calling thread to this host for a while."""
        with open("/proc/thread-self/ns/net", encoding="ascii") as home:
            self.enter()
            try:
                yield
            finally:
                move(home)


def move(namespace):
    if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Router(Host):
    """Joins the other hosts, and can lose what is sent between two addresses without telling anybody."""

    def __init__(self):
        super().__init__("router")
        subprocess.run(
            self.command("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"), check=True, timeout=30
        )

    def join(self, host, name, gateway, addresses):
        """A cable to `host`, whose addresses are in the /24 of `gateway`, this end's own."""
        host.ip("link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", self.namespace)
        self.ip("address", "add", f"{gateway}/24", "dev", name)
        self.ip("link", "set", name, "up")
        for address in addresses:
            host.ip("address", "add", f"{address}/24", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        host.ip("route", "add", "default", "via", gateway)

    def cut_off(self, address):
        """Loses every packet from and to `address`."""
        for direction in ("from", "to"):
            self.ip("rule", "add", direction, address, "blackhole")

    def restore(self, address):
        for direction in ("from", "to"):
            self.ip("rule", "delete", direction, address, "blackhole")
