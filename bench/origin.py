"""The HTTPS origin that all proxies forward to: nginx, by default with one worker."""

import http.client
import os
from dataclasses import dataclass

from processes import Process
from scratch import Scratch, free_port
from waiting import until_answered

# HTTP/2 is spoken on one of the two TLS ports only, so that ALPN decides the version by the port.
CONFIGURATION = """
daemon off;
worker_processes {workers};
worker_rlimit_nofile 16384;
pid {folder}/origin.pid;
error_log {folder}/origin.log error;
{user}
events {{ worker_connections 8192; }}
http {{
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_max_body_size 16m;
    client_body_buffer_size 6m;
    client_body_temp_path {folder}/origin-body;
    proxy_temp_path {folder}/origin-proxy;
    fastcgi_temp_path {folder}/origin-fastcgi;
    uwsgi_temp_path {folder}/origin-uwsgi;
    scgi_temp_path {folder}/origin-scgi;
    ssl_certificate {certificates}/server.pem;
    ssl_certificate_key {certificates}/server.key;
    upstream sink {{
        server unix:{folder}/sink.sock;
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{one} ssl;
        listen 127.0.0.1:{both} ssl http2;
        default_type application/json;
        location = / {{ return 200 '{{"message":"hello"}}\\n'; }}
        location /files/ {{ root {folder}; }}
        # nginx reads the whole body before it passes the request on, without the body.
        location = /upload {{
            proxy_pass http://sink/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_pass_request_body off;
        }}
    }}
    server {{
        listen unix:{folder}/sink.sock;
        location / {{ return 200 '{{"message":"taken"}}\\n'; }}
    }}
    server {{
        listen 127.0.0.1:{status};
        location = / {{ stub_status; }}
    }}
}}
"""


@dataclass(frozen=True)
class Counters:
    """What the origin has seen since its start."""

    connections: int
    requests: int


class Origin:
    def __init__(self, scratch: Scratch, port: "int | None" = None, workers: int = 1) -> None:
        self.scratch = scratch
        self.workers = workers
        self.one = port or free_port()
        self.both = port + 1 if port else free_port()
        self.status = free_port()
        self.counting = http.client.HTTPConnection("127.0.0.1", self.status)
        self.asked = 0
        self.process: "Process | None" = None

    def __enter__(self) -> "Origin":
        text = CONFIGURATION.format(
            folder=self.scratch.folder,
            certificates=self.scratch.certificates,
            user=worker_user(),
            workers=self.workers,
            one=self.one,
            both=self.both,
            status=self.status,
        )
        configuration = self.scratch.write("origin.conf", text)
        self.process = Process(["nginx", "-c", configuration, "-e", self.scratch.path("origin.log")])
        try:
            until_answered(f"http://127.0.0.1:{self.status}/", self.process)
        except BaseException:
            self.process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.counting.close()
        if self.process is not None:
            self.process.stop()

    def url(self) -> str:
        """For clients that speak to it without a proxy."""
        return f"https://127.0.0.1:{self.one}"

    def counters(self) -> Counters:
        """Without the requests that ask for them; their one connection stays open."""
        self.counting.request("GET", "/")
        words = self.counting.getresponse().read().split()
        self.asked += 1
        return Counters(connections=int(words[7]), requests=int(words[9]) - self.asked)


def worker_user() -> str:
    """The worker must reach the scratch folder; only root may choose its user."""
    return "user root;" if os.geteuid() == 0 else ""
