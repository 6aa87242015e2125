"""Clients that are still sending when the proxy refuses their request read the refusal all the same."""

import collections
import concurrent.futures
import contextlib
import json
import os
import selectors
import shutil
import socket
import sys
import tempfile
import time
import unittest

import senders
from program import Running, Sandbox, free_port
from senders import Try

TOKEN = "early-refusals-token"
MEGABYTES = (1, 5, 9, 20, 50)
TRIES = int(os.environ.get("EARLY_REFUSAL_TRIES", "20"))
# The longest that a client which has stopped sending may have to wait, in seconds.
WAITING = 5
# One proxy has the default max-body, the other a limit that every body exceeds.
DEFAULT_LIMIT, SMALL_LIMIT = 10 << 20, 512 << 10
AUTHORIZED = ("authorization", f"Bearer {TOKEN}")
HOST = ("403 host-not-allowed", (AUTHORIZED, ("host", "evil.test")))
ORIGIN = ("403 cross-site", (AUTHORIZED, ("origin", "http://evil.test")))
ANONYMOUS = ("401 token-required", ())
TOO_LARGE = ("413 body-too-large", (AUTHORIZED,))
NGINX = """
daemon off; pid nginx.pid; error_log stderr error; worker_processes 1; {user}
events {{ worker_connections 256; }}
http {{
    access_log off; client_max_body_size 0; client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    proxy_http_version 1.1; proxy_set_header Host $http_host;
    server {{ listen 127.0.0.1:{buffered}; {locations} }}
    server {{ listen 127.0.0.1:{streaming}; proxy_request_buffering off; {locations} }}
}}
"""

# Node's fetch does not send another Host, and HttpURLConnection hides the body of a 401 while it streams.
CLIENTS = {
    "urllib": (senders.python, (TOO_LARGE, HOST, ORIGIN, ANONYMOUS)),
    "curl": (senders.curl, (TOO_LARGE, HOST, ORIGIN, ANONYMOUS)),
    "Node fetch": (senders.node_fetch, (TOO_LARGE, ORIGIN, ANONYMOUS)),
    "Node http": (senders.node_http, (TOO_LARGE, HOST, ORIGIN, ANONYMOUS)),
    "HttpURLConnection": (senders.java, (TOO_LARGE, HOST, ORIGIN)),
}
# Vite refuses foreign hosts itself.
THROUGH_VITE = {
    "urllib": (senders.python, (TOO_LARGE, ORIGIN, ANONYMOUS)),
    "Node fetch": (senders.node_fetch, (TOO_LARGE, ORIGIN, ANONYMOUS)),
}
THROUGH_NGINX = {
    "urllib": (senders.python, (TOO_LARGE, HOST, ORIGIN, ANONYMOUS)),
    "Node fetch": (senders.node_fetch, (TOO_LARGE, ORIGIN, ANONYMOUS)),
}


class EarlyRefusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        token = {"COUNTERSIGN_BEARER_TOKEN": TOKEN}
        cls.default = Sandbox(cls, settings=token)
        cls.small = Sandbox(cls, "--max-body", str(SMALL_LIMIT), settings=token)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name

    def test_they_arrive_without_anything_in_between(self):
        routes = {"default": self.default.url, "small": self.small.url}
        clients = dict(CLIENTS)
        if not shutil.which("javac"):
            print("\n    SKIPPED: HttpURLConnection, since there is no JDK", end="")
            del clients["HttpURLConnection"]
        self.assert_arrival(clients, "", lambda limit: f"{routes[limit]}/{limit}/orders")

    def test_they_arrive_while_a_client_waits_in_the_middle_of_its_body(self):
        for limit, sandbox in {"default": self.default, "small": self.small}.items():
            for framing in (b"content-length: 9000000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n100000\r\n"):
                with self.subTest(limit, framing=framing), socket.create_connection(address_of(sandbox)) as client:
                    client.settimeout(WAITING)
                    client.sendall(b"POST /orders HTTP/1.1\r\nhost: evil.test\r\n" + framing + bytes(100_000))
                    self.assertTrue(client.recv(65_536).startswith(b"HTTP/1.1 403 "))

    def test_they_arrive_through_a_vite_dev_server(self):
        url = self.start_vite()
        self.assert_arrival(THROUGH_VITE, "Vite", lambda limit: f"{url}/{limit}/orders")

    def test_they_arrive_through_nginx(self):
        if not shutil.which("nginx"):
            self.skipTest("SKIPPED: nginx is missing")
        for manner, url in zip(("buffering", "streaming"), self.start_nginx()):
            with self.subTest(manner):
                self.assert_arrival(THROUGH_NGINX, f"nginx, {manner}", lambda limit: f"{url}/{limit}/orders")

    def assert_arrival(self, clients, between, url):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            tries = {name: list(all_tries(refusals, url)) for name, (_, refusals) in clients.items()}
            jobs = {name: pool.submit(send, tries[name]) for name, (send, _) in clients.items()}
            lost = [line for name, job in jobs.items() for line in report(name, between, tries[name], job.result())]
        if lost:
            self.fail("\n".join(["refusals that did not arrive:", *lost]))

    def start_vite(self):
        targets = {"/default": self.default.url, "/small": self.small.url}
        with open(os.path.join(self.folder, "vite.config.mjs"), "w", encoding="ascii") as file:
            file.write(f"export default {{ server: {{ proxy: {json.dumps(targets)} }} }};\n")
        port = free_port()
        program = os.path.join(os.environ["NODE_PATH"], "vite", "bin", "vite.js")
        command = ["node", program, "--host", "127.0.0.1", "--port", str(port), "--strictPort"]
        Running(self, command, {"NO_COLOR": "1"}, self.folder).wait_for("Local:")
        return f"http://127.0.0.1:{port}"

    def start_nginx(self):
        buffered, streaming = free_port(), free_port()
        locations = " ".join(
            f"location /{limit}/ {{ proxy_pass {url}; }}"
            for limit, url in {"default": self.default.url, "small": self.small.url}.items()
        )
        user = "user root;" if os.getuid() == 0 else ""
        with open(os.path.join(self.folder, "nginx.conf"), "w", encoding="ascii") as file:
            file.write(NGINX.format(user=user, buffered=buffered, streaming=streaming, locations=locations))
        Running(self, ["nginx", "-p", self.folder, "-c", "nginx.conf", "-e", "stderr"], {})
        for port in (buffered, streaming):
            wait_until_listening(port)
        return f"http://127.0.0.1:{buffered}", f"http://127.0.0.1:{streaming}"


@unittest.skipUnless(sys.platform == "linux", "SKIPPED: memory is read from /proc")
class Memory(unittest.TestCase):
    """The proxy discards what clients send after a refusal, so that it takes no memory."""

    CLIENTS = 200
    SECONDS = 8
    # Bytes of resident memory: for each connection, and between the first and the second half.
    MOST_EACH = 64 << 10
    MOST_DRIFT = 4 << 20

    def test_it_stays_flat_while_two_hundred_clients_send_on_after_a_refusal(self):
        sandbox = Sandbox(self)
        resting = resident(sandbox.pid)
        samples, sent, refused = send_on(address_of(sandbox), self.CLIENTS, self.SECONDS, lambda: resident(sandbox.pid))
        early, late = max(samples[: len(samples) // 2]), max(samples[len(samples) // 2:])
        print(
            f"\n    {self.CLIENTS} clients, {refused} refusals, {sent >> 20} MiB sent: resident {resting >> 20} MiB at "
            f"rest, {early >> 20} in the first half, {late >> 20} in the second, {peak(sandbox.pid) >> 20} at most",
            flush=True,
        )
        self.assertGreaterEqual(refused, self.CLIENTS)
        self.assertGreater(sent, self.CLIENTS << 20)
        self.assertLess(peak(sandbox.pid) - resting, self.CLIENTS * self.MOST_EACH)
        self.assertLess(late - early, self.MOST_DRIFT)


def address_of(sandbox):
    return ("127.0.0.1", int(sandbox.url.rsplit(":", 1)[1]))


def send_on(address, clients, seconds, sample):
    """Sends endless bodies to a foreign host; returns samples of memory, the bytes sent and the refusals read.

    Each client pauses once, which gets it its refusal, and goes on sending.
    """
    piece = bytes(65_536)
    head = b"POST /orders HTTP/1.1\r\nhost: evil.test\r\ncontent-length: 1000000000000\r\n\r\n"
    samples, sent, refused = [], 0, 0
    with contextlib.ExitStack() as open_sockets, selectors.DefaultSelector() as ready:

        def connect():
            client = open_sockets.enter_context(socket.create_connection(address))
            client.sendall(head)
            client.setblocking(False)
            ready.register(client, selectors.EVENT_READ)

        for _ in range(clients):
            connect()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, events in ready.select(0.1):
                try:
                    if events & selectors.EVENT_READ:
                        answer = key.fileobj.recv(65_536)
                        refused += answer.startswith(b"HTTP/1.1 403 ")
                        # The proxy has given its answer; the body still goes on.
                        ready.modify(key.fileobj, selectors.EVENT_WRITE)
                    if events & selectors.EVENT_WRITE:
                        sent += key.fileobj.send(piece)
                except ConnectionError:
                    ready.unregister(key.fileobj)
                    key.fileobj.close()
                    connect()
            samples.append(sample())
    return samples, sent, refused


def resident(process):
    return memory(process, "VmRSS")


def peak(process):
    return memory(process, "VmHWM")


def memory(process, name):
    """In bytes, as /proc/PID/status has it."""
    with open(f"/proc/{process}/status", encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(f"{name}:"))


def all_tries(refusals, url):
    """TRIES for each framing and size, cycling through the refusals."""
    for chunked in (False, True):
        for megabytes in MEGABYTES:
            size = megabytes << 20
            for number in range(TRIES):
                expected, headers = refusals[number % len(refusals)]
                is_small = expected == TOO_LARGE[0] and size <= DEFAULT_LIMIT
                yield Try(url("small" if is_small else "default"), size, chunked, headers, expected)


def report(client, between, tries, answers):
    """Prints how many refusals arrived for each size; returns a line for each size with a refusal that did not."""
    arrived, wrong = collections.Counter(), collections.defaultdict(collections.Counter)
    for one, answer in zip(tries, answers):
        cell = (one.framing, one.size >> 20)
        arrived[cell] += answer == one.expected
        if answer != one.expected:
            wrong[cell][f"{one.expected}: {answer}"] += 1
    for framing in ("length", "chunked"):
        row = "  ".join(f"{size:2} MB {arrived[framing, size]:2}/{TRIES}" for size in MEGABYTES)
        print(f"\n    {client:18} {between:17} {framing:8} {row}", end="", flush=True)
    return [f"{client} {between} {cell}: {dict(answers)}" for cell, answers in wrong.items()]


def wait_until_listening(port):
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
