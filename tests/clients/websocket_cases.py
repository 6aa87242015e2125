"""Frames that a client may send and frames that it must not, after the chapters of the Autobahn test suite.

A server's verdict on a case is every byte that it sends until it closes.
"""

import base64
import os
import socket
import struct
import urllib.parse

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = b"\x01\x02\x03\x04"
PATIENCE = 30


def frame(opcode, payload=b"", fin=True, rsv=0, masked=True):
    length = len(payload)
    head = bytes([fin << 7 | rsv << 4 | opcode])
    mark = 0x80 if masked else 0
    if length < 126:
        head += bytes([mark | length])
    elif length < 65536:
        head += bytes([mark | 126]) + struct.pack(">H", length)
    else:
        head += bytes([mark | 127]) + struct.pack(">Q", length)
    if not masked:
        return head + payload
    mask = (MASK * (length // 4 + 1))[:length]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + MASK + mixed.to_bytes(length, "big")


def close(code=1000, reason=b""):
    return frame(CLOSE, struct.pack(">H", code) + reason)


def cases():
    """Pairs of a name and bytes; each ends with a Close frame, unless it is about that."""
    sizes = (0, 1, 125, 126, 127, 128, 65535, 65536, 131072)
    for size in sizes:
        yield f"1.1 text of {size}", frame(TEXT, b"*" * size) + close()
        yield f"1.2 binary of {size}", frame(BINARY, b"\xfe" * size) + close()
    for size in (0, 5, 125, 126):
        yield f"2 ping of {size}", frame(PING, b"\xfe" * size) + close()
    yield "2 pong that nobody asked for", frame(PONG, b"x") + frame(PING, b"y") + close()
    yield "2 ten pings", b"".join(frame(PING, bytes([number])) for number in range(10)) + close()
    for rsv in range(1, 8):
        yield f"3 reserved bits {rsv}", frame(TEXT, b"a") + frame(TEXT, b"b", rsv=rsv) + frame(PING)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"4 opcode {opcode}", frame(TEXT, b"a") + frame(opcode, b"b") + frame(PING)
    yield "5 ping in pieces", frame(PING, b"a", fin=False) + frame(0, b"b")
    yield "5 two pieces", frame(TEXT, b"a", fin=False) + frame(0, b"b") + close()
    yield "5 ping between pieces", frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(0, b"b") + close()
    yield "5 a piece of nothing", frame(0, b"a") + frame(TEXT, b"b")
    yield "5 a message inside another", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b")
    yield "5 many pieces", frame(TEXT, b"a", fin=False) + frame(0, b"b", fin=False) * 300 + frame(0) + close()
    for text in ("κόσμε", "\ufeff", "😀" * 20000):
        encoded = text.encode()
        yield f"6 valid {text[:4]!a}", frame(TEXT, encoded) + close()
        middle = len(encoded) // 2 + 1
        pieces = frame(TEXT, encoded[:middle], fin=False) + frame(0, encoded[middle:])
        yield f"6 valid in pieces {text[:4]!a}", pieces + close()
    for wrong in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xce"):
        yield f"6 invalid {wrong!r}", frame(TEXT, wrong) + close()
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        yield f"7 code {code}", close(code, b"reason")
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield f"7 wrong code {code}", close(code)
    yield "7 no code", frame(CLOSE)
    yield "7 half a code", frame(CLOSE, b"\x03")
    yield "7 longest reason", close(1000, b"x" * 123)
    yield "7 too long a reason", close(1000, b"x" * 124)
    yield "7 reason that is no text", close(1000, b"\xff")
    yield "7 a message behind the end", close() + frame(TEXT, b"late")
    yield "7 a message before the end", frame(TEXT, b"a") + close() + frame(PING)
    yield "9 a large message", frame(TEXT, b"*" * (1 << 20)) + close()
    yield "9 large pieces", (
        frame(BINARY, b"*" * 65536, fin=False) + frame(0, b"*" * 65536, fin=False) * 14 + frame(0) + close()
    )
    yield "0 not masked", frame(TEXT, b"a", masked=False)


def handshake(url):
    """An open connection to `url`, and what the server has sent behind its 101."""
    address = urllib.parse.urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {address.path or '/'} HTTP/1.1",
        f"Host: {address.netloc}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        read = connection.recv(65536)
        if not read:
            raise AssertionError(f"no answer to the handshake: {answer!r}")
        answer += read
    head, rest = answer.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 101 "):
        raise AssertionError(head)
    return connection, rest


def verdict(url, sent, piece=1 << 16):
    """What a server sends to a client that sends `sent` in pieces of this size, until the server closes."""
    connection, received = handshake(url)
    with connection:
        try:
            for start in range(0, len(sent), piece):
                connection.sendall(sent[start:start + piece])
            while read := connection.recv(65536):
                received += read
        except (BrokenPipeError, ConnectionResetError):
            # A server that has closed does not read the rest.
            pass
    return received
