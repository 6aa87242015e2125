"""An HTTPS upstream that speaks HTTP/2, for where its speed does not count."""

import ssl

from scratch import Scratch
from sink import Sink

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Types and flags of frames (RFC 9113 sections 6.1 to 6.9).
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
ACK = END_STREAM = 1
END_HEADERS = 4

# What all uploads of a connection may take together, in bytes.
CONNECTION_WINDOW = 1 << 30


class Http2Sink(Sink):
    """Answers every request with 200 and the same body, once the request has ended; it reads no head."""

    protocol = "h2"

    def __init__(self, scratch: Scratch, body: bytes) -> None:
        super().__init__(scratch, {}, body)
        self.head, self.body = answer_head(body), body

    def converse(self, stream: ssl.SSLSocket) -> None:
        received = stream.makefile("rb")
        if received.read(len(PREFACE)) != PREFACE:
            return
        window = CONNECTION_WINDOW.to_bytes(4, "big")
        stream.sendall(frame(SETTINGS, 0, 0, b"") + frame(WINDOW_UPDATE, 0, 0, window))
        while len(head := received.read(9)) == 9:
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            payload = received.read(length)
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                number = int.from_bytes(head[5:], "big")
                headers = frame(HEADERS, END_HEADERS, number, self.head)
                stream.sendall(headers + frame(DATA, END_STREAM, number, self.body))
            elif kind in (SETTINGS, PING) and not flags & ACK:
                stream.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def answer_head(body: bytes) -> bytes:
    """200 as the field that HPACK has in its table, and two literals with indexed names (RFC 7541 section 6)."""
    content_type, length = b"application/json", str(len(body)).encode()
    fields = [(b"\x0f\x10", content_type), (b"\x0f\x0d", length)]
    return b"\x88" + b"".join(name + bytes([len(value)]) + value for name, value in fields)
