"""The service behind the API: answers that belong to one request only, and a count of what was carried out."""

import collections
import hashlib
import http.server
import threading
import time

PIECES = 30


def answer_to(name, length):
    """The bytes that answer the request `name`, and no other."""
    seed = hashlib.sha256(name.encode()).hexdigest().encode() + b"\n"
    return (seed * (length // len(seed) + 1))[:length]


class Service:
    """Serves `/small/NAME/LENGTH`, `/order/NAME/LENGTH` and, over some seconds, `/stream/NAME/LENGTH/SECONDS`."""

    def __init__(self, host):
        self._lock = threading.Lock()
        self._executed = collections.Counter()
        with host.visited():
            server = Server(("127.0.0.1", 0), Handler)
        server.service = self
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def execute(self, name):
        with self._lock:
            self._executed[name] += 1

    def executed(self):
        """How often each order has been carried out."""
        with self._lock:
            return collections.Counter(self._executed)


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        words = self.path.split("?")[0].split("/")[1:]
        if words[0] == "stream":
            self._stream(answer_to(words[1], int(words[2])), float(words[3]))
        elif words[0] == "small":
            self._whole(200, answer_to(words[1], int(words[2])))
        else:
            self._whole(200, b"{}")

    def do_POST(self):
        _, name, length = self.path.split("/")[1:]
        body = self.rfile.read(int(self.headers["content-length"]))
        if body != answer_to(f"order {name}", len(body)) or len(body) != int(length):
            self._whole(400, b"another request's body")
            return
        self.server.service.execute(name)
        self._whole(201, answer_to(name, int(length)))

    def _whole(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, body, seconds):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        size = len(body) // PIECES + 1
        for start in range(0, len(body), size):
            piece = body[start:start + size]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            time.sleep(seconds / PIECES)
        self.wfile.write(b"0\r\n\r\n")

    def handle(self):
        try:
            super().handle()
        except OSError:
            # The gateway has gone; it knows best why.
            self.close_connection = True

    def log_message(self, *_):
        pass
