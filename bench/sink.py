"""An HTTPS upstream within this process, for where its speed does not count."""

import socket
import ssl
import threading

from scratch import Scratch


class Sink:
    """Answers every request with 200, once its body has come."""

    protocol = "http/1.1"

    def __init__(self, scratch: Scratch, bodies: dict[str, bytes], otherwise: bytes) -> None:
        self.answers = {path.encode(): answer(body) for path, body in bodies.items()}
        self.otherwise = answer(otherwise)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{scratch.certificates}/server.pem", f"{scratch.certificates}/server.key")
        self.context.set_alpn_protocols([self.protocol])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self) -> "Sink":
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self.context.wrap_socket(connection, server_side=True) as stream:
                self.converse(stream)
        except OSError:
            # The proxy ended.
            return

    def converse(self, stream: ssl.SSLSocket) -> None:
        requests = stream.makefile("rb")
        while line := requests.readline():
            self.answer(stream, requests, line.split()[1])

    def answer(self, stream: ssl.SSLSocket, requests, target: bytes) -> None:
        length = 0
        while (field := requests.readline()) not in (b"\r\n", b""):
            name, _, value = field.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        requests.read(length)
        stream.sendall(self.answers.get(target, self.otherwise))


def answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
