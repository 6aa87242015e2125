"""What requests through the program cost, and single operations: instructions, allocations, bytes copied."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Iterator

import subjects
from build import ROOT
from calls import Counters
from http2_sink import Http2Sink
from scratch import Scratch, free_port
from sink import Sink

SMALL_PATH = "/orders?limit=10&sort=-created"
SMALL, MEDIUM, LARGE = b'{"message":"hello"}', b"x" * (16 << 10), b"x" * (1 << 20)

# Requests before those that are counted: connections, keys and caches are there by then.
WARM_UP = 100

# In seconds, between questions whether the program is ready: each that comes too early costs instructions as well.
PROBING = 0.25

# Only the crate itself is optimised: its dependencies are there already, as the tests have them.
BUILD = [
    "cargo", "build", "--locked", "--example", "count-operations",
    "--config", "profile.dev.package.countersign.opt-level=3",
    "--message-format", "json-render-diagnostics",
]  # fmt: skip


@dataclass(frozen=True)
class Exchange:
    name: str
    path: str
    times: int
    upload: bytes = b""
    # Whether each request makes the same calls: a large body comes in pieces of any size, each of which allocates.
    is_exact: bool = True
    # What the inspector keeps, and whether somebody follows it.
    inspect: str = "off"
    viewed: bool = False

    def request(self) -> bytes:
        head = f"Host: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Length: {len(self.upload)}\r\n"
        method = "POST" if self.upload else "GET"
        return f"{method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.upload


def first(of: Exchange) -> Exchange:
    return Exchange("start", "/", WARM_UP, inspect=of.inspect, viewed=of.viewed)

OVER_HTTP1 = [
    Exchange("get-small", SMALL_PATH, 400),
    Exchange("get-16k", "/medium", 400),
    Exchange("post-1k", "/orders", 400, upload=b"x" * 1000),
    Exchange("post-1m", "/orders", 10, upload=LARGE, is_exact=False),
    Exchange("get-1m", "/large", 20, is_exact=False),
    # Redaction follows within a second: enough requests, so that it does for most of them.
    Exchange("get-small-inspect-heads", SMALL_PATH, 1500, inspect="heads", is_exact=False),
    Exchange("get-small-inspect-bodies", SMALL_PATH, 1500, inspect="bodies", is_exact=False),
    Exchange("get-small-inspect-viewed", SMALL_PATH, 1500, inspect="heads", viewed=True, is_exact=False),
]

OVER_HTTP2 = [
    Exchange("get-small-h2", SMALL_PATH, 400),
    Exchange("post-1k-h2", "/orders", 400, upload=b"x" * 1000),
]


def upstreams(scratch: Scratch) -> Iterator[tuple[Sink, list[Exchange]]]:
    """Each upstream, which answers meanwhile, and what is asked of it."""
    with Sink(scratch, {"/medium": MEDIUM, "/large": LARGE}, SMALL) as sink:
        yield sink, OVER_HTTP1
    with Http2Sink(scratch, SMALL) as sink:
        yield sink, OVER_HTTP2


def requests(scratch: Scratch, binary: str) -> dict[str, int]:
    """The instructions of one request in a process that runs, by the name of the exchange."""
    counted = {}
    for sink, exchanges in upstreams(scratch):
        starts: dict[Exchange, int] = {}
        for exchange in exchanges:
            start = first(exchange)
            if start not in starts:
                starts[start] = process(scratch, binary, sink, [start])
            instructions = process(scratch, binary, sink, [start, exchange]) - starts[start]
            counted[exchange.name] = round(instructions / exchange.times)
    return counted


def process(scratch: Scratch, binary: str, sink: Sink, exchanges: list[Exchange]) -> int:
    """All instructions of a process that answers these."""
    output = scratch.path(f"{exchanges[-1].name}.callgrind")
    admin = free_port()
    command = [*callgrind(output), binary, "serve", "--inspect", exchanges[-1].inspect]
    subject = subjects.countersign("counted", sink.protocol, scratch, command, sink.port, f"127.0.0.1:{admin}")
    running = subject.start(PROBING)
    try:
        if exchanges[-1].viewed:
            follow(admin)
        for exchange in exchanges:
            with Client(running.url) as client:
                client.converse(exchange, exchange.times)
    finally:
        running.process.stop(patience=60)
    return total(output)


def follow(admin: int) -> None:
    """Reads the inspector's feed until the process ends."""
    asking = http.client.HTTPConnection("127.0.0.1", admin, timeout=120)
    asking.request("POST", "/inspect/token")
    token = json.load(asking.getresponse())["token"]
    feed = http.client.HTTPConnection("127.0.0.1", admin, timeout=120)
    feed.request("GET", "/inspect/feed", headers={"Authorization": f"Bearer {token}"})
    lines = feed.getresponse()
    lines.readline()
    threading.Thread(target=lines.read, daemon=True).start()


def calls(scratch: Scratch, binary: str) -> dict[str, dict[str, int]]:
    """What one request allocates and copies, by the name of the exchange."""
    allocations, copied = {}, {}
    for sink, exchanges in upstreams(scratch):
        counters = Counters(scratch, sink.protocol.replace("/", "-"))
        command = counters.command([binary, "serve"])
        running = subjects.countersign("counted", sink.protocol, scratch, command, sink.port).start()
        try:
            for exchange in (exchange for exchange in exchanges if exchange.is_exact):
                with Client(running.url) as client:
                    client.converse(exchange, WARM_UP)
                    before = counters.read()
                    client.converse(exchange, exchange.times)
                    after = counters.read()
                allocations[exchange.name] = round((after.allocations - before.allocations) / exchange.times)
                copied[exchange.name] = round((after.copied - before.copied) / exchange.times)
        finally:
            running.process.stop()
    if 0 in allocations.values():
        sys.exit("bench/instructions: the program does not allocate by the C library, whose calls are counted")
    return {"allocations": allocations, "copied": copied}


class Client:
    """One connection to the program."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.connection = socket.create_connection((host, int(port)), timeout=120)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.connection.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.answers.close()
        self.connection.close()

    def converse(self, exchange: Exchange, times: int) -> None:
        request = exchange.request()
        for _ in range(times):
            self.connection.sendall(request)
            status, length = self.answers.readline(), 0
            if b" 200 " not in status:
                sys.exit(f"bench/instructions: {exchange.name} was answered {status!r}")
            while (field := self.answers.readline()) not in (b"\r\n", b""):
                name, _, value = field.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            self.answers.read(length)


def operations(scratch: Scratch) -> dict[str, int]:
    """What each operation of benches/operations costs."""
    program = built()
    names = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    counted = {}
    for name in names:
        output = scratch.path(f"{name}.callgrind")
        command = [*callgrind(output), "--toggle-collect=*counted*", program, name]
        subprocess.run(command, stderr=subprocess.DEVNULL, check=True)
        counted[name] = total(output)
    return counted


def built() -> str:
    # What is compiled incrementally is cut into other pieces, and inlined differently.
    environment = {**os.environ, "CARGO_INCREMENTAL": "0"}
    told = subprocess.run(BUILD, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if told.returncode != 0:
        sys.exit("bench/instructions: the operations do not build")
    messages = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    programs = [
        message["executable"]
        for message in messages
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "count-operations"
    ]
    return os.path.abspath(programs[-1])


def callgrind(output: str) -> list[str]:
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]


def total(output: str) -> int:
    with open(output, encoding="utf-8", errors="replace") as file:
        return int(re.search(r"^(?:summary|totals): (\d+)", file.read(), re.MULTILINE).group(1))
