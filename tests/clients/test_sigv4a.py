"""The program's SigV4A signatures, beside those of AWS's own library (awscrt) for the same requests.

Both are verified by OpenSSL with a public key that is derived here: from the bytes that arrived, it follows that the
program and awscrt sign the same canonical request.
"""

import datetime
import hashlib
import hmac
import http.server
import json
import posixpath
import socket
import tempfile
import threading
import unittest
from urllib.parse import quote, unquote_to_bytes

from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSigningAlgorithm,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from program import BINARY, Running

ALGORITHM = "AWS4-ECDSA-P256-SHA256"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "example/session+token=="
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
TARGETS = (
    "/",
    "/a/../b//c/./d",
    "/a%2Fb/%C3%A9/%2F%252F",
    "/mac@2x:1,2;3=4$&'(5)*+!~",
    "/x?b=2&a=%2F&a=1&empty&plus=1+2&star=*&%41=~",
    "/arn%3Aaws%3As3%3A%3A%3Abucket%2Fkey?list-type=2&prefix=a%2Fb%20c",
)


def key_pair(access_key_id, secret):
    """The key pair of a secret access key, as "Deriving a signing key using SigV4a" has it."""
    for counter in range(1, 255):
        context = access_key_id.encode() + bytes([counter])
        fixed = (1).to_bytes(4, "big") + ALGORITHM.encode() + b"\0" + context + (256).to_bytes(4, "big")
        candidate = int.from_bytes(hmac.new(b"AWS4A" + secret.encode(), fixed, hashlib.sha256).digest(), "big")
        if candidate <= ORDER - 2:
            return ec.derive_private_key(candidate + 1, ec.SECP256R1())
    raise AssertionError("no candidate")


def canonical_request(method, target, headers, names, payload_hash, is_s3):
    path, _, query = target.partition("?")
    if not is_s3:
        normal = posixpath.normpath("/" + path.lstrip("/"))
        # A path that ends in an empty or dot segment ends in a slash.
        ends = path.endswith(("/", "/.", "/..")) and normal != "/"
        path = quote(normal + "/" * ends, safe="/-._~")
    pairs = (parameter.partition("=") for parameter in query.split("&") if parameter)
    encoded = sorted((reencoded(key), reencoded(value)) for key, _, value in pairs)
    query = "&".join(f"{key}={value}" for key, value in encoded)
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names.split(";"))
    return f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload_hash}"


def reencoded(text):
    return quote(unquote_to_bytes(text.replace("+", " ")), safe="-._~")


def parts(authorization):
    algorithm, _, rest = authorization.partition(" ")
    return algorithm, dict(part.split("=", 1) for part in rest.split(", "))


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((self.command, self.path, headers, body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


class SigV4A(unittest.TestCase):
    def setUp(self):
        self.upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        self.upstream.received = []
        threading.Thread(target=self.upstream.serve_forever).start()
        self.addCleanup(self.upstream.server_close)
        self.addCleanup(self.upstream.shutdown)

    def serve(self, service, region_set, access_key_id):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        settings = {
            "AWS_ACCESS_KEY_ID": access_key_id,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": TOKEN,
            "AWS_EC2_METADATA_DISABLED": "true",
            "COUNTERSIGN_CREDENTIALS": "aws",
            "COUNTERSIGN_LOG_FORMAT": "json",
            "COUNTERSIGN_REGION_SET": region_set,
            "COUNTERSIGN_SERVICE": service,
            "COUNTERSIGN_UPSTREAM": f"http://127.0.0.1:{self.upstream.server_port}",
        }
        arguments = [BINARY, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]
        line = json.loads(Running(self, arguments, settings, folder.name).wait_for('"message":"ready"'))
        return line.get("fields", line)["url"].removeprefix("http://")

    def send(self, address, method, target, body):
        """Sends the target as it stands, which no HTTP library does, and gives what arrived at the upstream."""
        host, port = address.split(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            head = f"{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            more = f"content-type: text/plain;  charset=utf-8\r\ncontent-length: {len(body)}\r\n\r\n"
            client.sendall((head + more).encode() + body)
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
        return self.upstream.received[-1]

    def assert_signed(self, service, region_set, access_key_id, received):
        method, target, headers, body = received
        is_s3 = service == "s3"
        algorithm, signed = parts(headers["authorization"])
        scope = f"{headers['x-amz-date'][:8]}/{service}/aws4_request"
        self.assertEqual((algorithm, signed["Credential"]), (ALGORITHM, f"{access_key_id}/{scope}"))
        self.assertEqual(headers["x-amz-region-set"], region_set)
        payload_hash = hashlib.sha256(body).hexdigest()
        request = canonical_request(method, target, headers, signed["SignedHeaders"], payload_hash, is_s3)
        text = "\n".join(
            (ALGORITHM, headers["x-amz-date"], scope, hashlib.sha256(request.encode()).hexdigest())
        ).encode()
        public_key = key_pair(access_key_id, SECRET).public_key()
        public_key.verify(bytes.fromhex(signed["Signature"]), text, ec.ECDSA(SHA256()))
        with self.assertRaises(InvalidSignature):
            public_key.verify(bytes.fromhex(signed["Signature"]), text + b" ", ec.ECDSA(SHA256()))

        theirs = self.signed_by_awscrt(service, region_set, access_key_id, received)
        self.assertEqual(theirs["SignedHeaders"], signed["SignedHeaders"])
        self.assertEqual(theirs["Credential"], signed["Credential"])
        public_key.verify(bytes.fromhex(theirs["Signature"]), text, ec.ECDSA(SHA256()))

    def signed_by_awscrt(self, service, region_set, access_key_id, received):
        """What awscrt signs for the request that the upstream received, at the same second."""
        method, target, headers, body = received
        is_s3 = service == "s3"
        date = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        kind = AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256 if is_s3 else AwsSignedBodyHeaderType.NONE
        config = AwsSigningConfig(
            algorithm=AwsSigningAlgorithm.V4_ASYMMETRIC,
            signature_type=AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=AwsCredentialsProvider.new_static(access_key_id, SECRET, TOKEN),
            region=region_set,
            service=service,
            date=date.replace(tzinfo=datetime.timezone.utc),
            use_double_uri_encode=not is_s3,
            should_normalize_uri_path=not is_s3,
            signed_body_value=hashlib.sha256(body).hexdigest(),
            signed_body_header_type=kind,
        )
        sent = HttpHeaders([(name, headers[name]) for name in ("host", "content-type")])
        request = HttpRequest(method, target, sent)
        aws_sign_request(request, config).result(20)
        return parts(request.headers.get("authorization"))[1]

    def test_awscrt_signs_the_same_canonical_requests(self):
        for service, region_set in (("s3", "*"), ("events", "us-east-1,eu-west-1"), ("vpc-lattice-svcs", "us-*")):
            # The key pair derives from the access key id, too.
            for access_key_id in ("AKIDEXAMPLE", "ASIAIOSFODNN7EXAMPLE"):
                address = self.serve(service, region_set, access_key_id)
                for target in TARGETS:
                    for method, body in (("GET", b""), ("PUT", b"body \xff")):
                        with self.subTest(service=service, target=target, method=method):
                            received = self.send(address, method, target, body)
                            self.assert_signed(service, region_set, access_key_id, received)


if __name__ == "__main__":
    unittest.main()
