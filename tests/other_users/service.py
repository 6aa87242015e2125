"""The service behind the proxy, which counts who has sent the requests that reach it."""

import collections
import http.server
import threading


class Service:
    """Counts requests by their `x-sender`, until the test is over."""

    def __init__(self, test):
        self.senders = collections.Counter()
        self._lock = threading.Lock()
        server = Server(("127.0.0.1", 0), Handler)
        server.service = self
        test.addCleanup(server.server_close)
        test.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def count(self, sender):
        with self._lock:
            self.senders[sender] += 1


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.server.service.count(self.headers["x-sender"])
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass
