"""What is measured: nginx and HAProxy as plain TLS forwarders, each build of Countersign, and proxies given by URL.

The forwarders run on one thread, verify the origin's certificate, keep upstream connections, sign nothing and log
nothing. Countersign runs as its defaults have it, the line for each request included.
"""

import os
import subprocess
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Callable

from origin import Origin, worker_user
from processes import Process
from scratch import Scratch, free_port
from waiting import PAUSE, until_answered

BASELINE = "nginx"

NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
{user}
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_max_body_size 16m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass https://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_ssl_name localhost;
            proxy_ssl_server_name on;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {authority};
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend clients
    bind 127.0.0.1:{port}
    default_backend origin
backend origin
    server origin 127.0.0.1:{origin} ssl verify required ca-file {authority} sni str(localhost) alpn http/1.1 \
pool-purge-delay 60s
"""


@dataclass(frozen=True)
class Given:
    """A running proxy that somebody else started."""

    url: str
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Running:
    """A proxy that answers."""

    url: str
    pids: tuple[int, ...]
    process: "Process | None" = None
    # When it first answered, by the monotonic clock.
    ready: float = 0.0

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()


@dataclass(frozen=True)
class Subject:
    """A proxy that can be measured; `launch` takes the port to listen on."""

    name: str
    launch: "Callable[[int], Process] | None" = None
    given: "Given | None" = None
    # "h1" or "h2" for a build of Countersign.
    protocol: "str | None" = None

    def start(self, pause: float = PAUSE) -> Running:
        """Starts it and waits for its first good answer, which it is asked for every `pause` seconds."""
        if self.given is not None:
            until_answered(f"{self.given.url}/")
            return Running(self.given.url, self.given.pids)
        port = free_port()
        process = self.launch(port)
        try:
            until_answered(f"http://127.0.0.1:{port}/", process, pause)
        except BaseException:
            process.stop()
            raise
        ready = time.monotonic()
        return Running(f"http://127.0.0.1:{port}", process.tree(), process, ready)


def all_of(
    scratch: Scratch, origin: Origin, binaries: dict[str, list[str]], given: dict[str, Given], skip: list[str]
) -> list[Subject]:
    found = [
        Subject(BASELINE, launch=lambda port: nginx(scratch, origin, port)),
        Subject("haproxy", launch=lambda port: haproxy(scratch, origin, port)),
    ]
    for name, (path, *flags) in binaries.items():
        for protocol, upstream in (("h1", origin.one), ("h2", origin.both)):
            found.append(countersign(f"{name}-{protocol}", protocol, scratch, [path, "serve", *flags], upstream))
    found.extend(Subject(name, given=proxy) for name, proxy in given.items())
    return [subject for subject in found if not any(fnmatch(subject.name, pattern) for pattern in skip)]


def nginx(scratch: Scratch, origin: Origin, port: int) -> Process:
    folder = scratch.make_folder(f"nginx-{port}")
    text = NGINX.format(
        folder=folder, user=worker_user(), origin=origin.one, port=port, authority=scratch.authority()
    )
    configuration = scratch.write(f"nginx-{port}.conf", text)
    return Process(["nginx", "-c", configuration, "-e", os.path.join(folder, "nginx.log")])


def haproxy(scratch: Scratch, origin: Origin, port: int) -> Process:
    text = HAPROXY.format(origin=origin.one, port=port, authority=scratch.authority())
    return Process(["haproxy", "-db", "-q", "-f", scratch.write(f"haproxy-{port}.cfg", text)])


def countersign(
    name: str, protocol: str, scratch: Scratch, serve: list[str], upstream: int, admin: str = "127.0.0.1:0"
) -> Subject:
    def launch(port: int) -> Process:
        command = [
            *serve,
            "--listen", f"127.0.0.1:{port}",
            "--admin-listen", admin,
            "--upstream", f"https://localhost:{upstream}",
            "--region", "eu-west-1",
            "--service", "execute-api",
            "--ca-file", scratch.authority(),
            "--credentials", "aws",
        ]  # fmt: skip
        # Lines are written, but not kept: they would fill the memory that the scratch folder may be in.
        return Process(command, cwd=scratch.folder, env=environment(scratch), stderr=subprocess.DEVNULL)

    return Subject(name, launch=launch, protocol=protocol)


def environment(scratch: Scratch) -> dict[str, str]:
    """Credentials of nobody, and nothing of the person who measures."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": scratch.folder,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN": "bench" * 160,
    }
