"""Waiting for a server's first good answer."""

import socket
import time
from urllib.parse import urlsplit

from processes import Process

PATIENCE = 60.0

PAUSE = 0.0002


class NotReady(Exception):
    """A program that ended, or never answered with 200."""


def until_answered(url: str, process: "Process | None" = None, pause: float = PAUSE) -> None:
    """Asks `url` until it answers 200, with a pause of so many seconds after any other end."""
    address = urlsplit(url)
    deadline = time.monotonic() + PATIENCE
    last = b"nothing"
    while time.monotonic() < deadline:
        if process is not None and process.ended():
            raise NotReady(f"{process.command[0]} ended at once; try: {' '.join(process.command)}")
        try:
            last = ask(address.hostname, address.port, address.path or "/")
        except OSError:
            pass
        if last.startswith(b"HTTP/1.1 200"):
            return
        time.sleep(pause)
    raise NotReady(f"{url} does not answer 200 but {last[:200]!r}")


def ask(host: "str | None", port: "int | None", path: str) -> bytes:
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        return connection.recv(4096)
