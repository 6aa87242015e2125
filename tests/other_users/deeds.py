"""What users of the machine do: wait for an answer, leave without it, hold connections, sign in on a page."""

import collections
import contextlib
import errno
import http.client
import os
import select
import socket
import struct
import time
import urllib.parse

PATIENCE = 20
# Another connection on this machine took the port in between.
TAKEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
RESET = struct.pack("ii", 1, 0)


def request(port, method, target, body=b"", **fields):
    """The bytes of a request that asks the server to close after its answer."""
    fields = {"host": f"localhost:{port}", "connection": "close", "content-length": len(body), **fields}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


def ask(address, sent, source=None):
    """The answer's status, or None where the connection ends without one."""
    with contextlib.suppress(ConnectionError), connected(address, source) as client:
        client.sendall(sent)
        return read_status(client)
    return None


def ask_all(addresses, sent, count):
    """Sends `count` requests, each on its own connection; returns how often each status came, and the longest wait."""
    statuses, slowest = collections.Counter(), 0
    for number in range(count):
        started = time.monotonic()
        statuses[ask(addresses[number % len(addresses)], sent)] += 1
        slowest = max(slowest, time.monotonic() - started)
    return dict(statuses), slowest


def ask_unix(path, sent):
    """As `ask`, on a unix socket; "PermissionError" where the file's mode forbids it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        try:
            client.connect(path)
            client.sendall(sent)
            answer = client.recv(65_536)
        except PermissionError as error:
            return type(error).__name__
        except ConnectionError:
            return None
    return int(answer.split()[1]) if answer else None


def send_and_leave(addresses, sent, count, ending):
    """Sends a request on `count` connections and ends each at once; returns how many requests went out."""
    gone = 0
    for number in range(count):
        address = addresses[number % len(addresses)]
        # Several of these fill the listener's backlog, so that some connections are refused or not made in time.
        with contextlib.suppress(ConnectionError, TimeoutError), connected(address) as client:
            client.sendall(sent)
            gone += 1
            if ending == "shutdown and reset":
                client.shutdown(socket.SHUT_WR)
            if ending != "close":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return gone


def ask_over_socket_of(user, address, sent):
    """As `ask`, over a socket that `user` has made but another one uses."""
    with socket_of(user, address) as client:
        client.connect(address)
        client.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            client.sendall(sent)
            return read_status(client)
    return None


def reuse_ports(address, first, second, rounds, at_once):
    """Resets connections of one user, and connects from the same ports as another; returns the other's statuses.

    `first` and `second` are each a user and what is sent. Since several connections are made at a time, the proxy
    often sees the first one of a port only when the second one has been made.
    """
    statuses = collections.Counter()
    for _ in range(rounds):
        ports = [reset_connection(first[0], address, first[1]) for _ in range(at_once)]
        with contextlib.ExitStack() as clients:
            asking = []
            for port in ports:
                client = clients.enter_context(socket_of(second[0], address))
                try:
                    client.bind((address[0], port))
                    client.connect(address)
                except OSError as error:
                    if error.errno not in TAKEN:
                        raise
                    continue
                client.settimeout(PATIENCE)
                client.sendall(second[1])
                asking.append(client)
            for client in asking:
                try:
                    statuses[read_status(client)] += 1
                except ConnectionError:
                    statuses[None] += 1
    return dict(statuses)


def reset_connection(user, address, sent):
    """Sends and resets; returns the port of the connection, which is free again."""
    with socket_of(user, address) as client:
        client.connect(address)
        client.sendall(sent)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return client.getsockname()[1]


def hold(addresses, count, again):
    """Holds `count` connections on which it sends nothing, and with `again` replaces each that is closed."""
    poll, clients, closed = select.poll(), {}, 0

    def connect(address):
        client = socket.socket(family(address))
        client.setblocking(False)
        client.connect_ex(address)
        clients[client.fileno()] = client
        poll.register(client, select.POLLIN)

    for number in range(count):
        connect(addresses[number % len(addresses)])
    while True:
        yield closed
        for number, _ in poll.poll(20)[: max(1, count // 4)]:
            client = clients.pop(number)
            poll.unregister(client)
            client.close()
            closed += 1
            if again:
                connect(addresses[closed % len(addresses)])


def sign_in(url, username, password):
    """Signs in at the page whose address is `url`; returns the address to which a browser is then sent back."""
    page = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(page.netloc, timeout=PATIENCE)
    with contextlib.closing(connection):
        form = urllib.parse.urlencode({"username": username, "password": password})
        fields = {"content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", f"/login?{page.query}", form, fields)
        return connection.getresponse().headers["location"]


def connected(address, source=None):
    return socket.create_connection(address, PATIENCE, source and (source, 0))


def socket_of(user, address):
    """A socket made as `user`: the kernel remembers who made it, whoever uses it later."""
    os.seteuid(user)
    try:
        return socket.socket(family(address))
    finally:
        os.seteuid(0)


def family(address):
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def read_status(client):
    answer = b""
    while received := client.recv(65_536):
        answer += received
    return int(answer.split()[1]) if answer else None
