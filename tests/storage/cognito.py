"""A user pool that rotates refresh tokens without grace, an identity pool, and an API, on one port."""

import base64
import http.server
import json
import threading
import time

# Below two minutes, each refresh of credentials renews the tokens as well.
TOKEN_LIFETIME = 60
CREDENTIALS_LIFETIME = 8
POOL_ID, CLIENT_ID = "eu-west-1_Storage", "client"
IDENTITY_POOL_ID = "eu-west-1:01234567-89ab-cdef-0123-456789abcdef"


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(code)
        self.body = {"__type": code, "message": message}


class Cognito:
    """Counts what it was asked for. `delay` holds back the answer to one call that has taken effect."""

    def __init__(self, cell):
        self._changed = threading.Condition()
        self._delays = {}
        self._asked = set()
        self.refresh_token = None
        self.sign_ins = self.rotations = 0
        # Refresh tokens that were sent again after they had been used.
        self.lost = 0
        server = Server(("127.0.0.1", 0), Handler)
        server.cognito = self
        cell.callback(server.server_close)
        cell.callback(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def delay(self, operation, seconds):
        with self._changed:
            self._delays[operation] = seconds
            self._asked.discard(operation)

    def wait_until_asked(self, operation, patience):
        with self._changed:
            if not self._changed.wait_for(lambda: operation in self._asked, patience):
                raise AssertionError(f"nobody asked for {operation}")

    def wait_for_rotation(self, beyond, patience):
        with self._changed:
            if not self._changed.wait_for(lambda: self.rotations > beyond, patience):
                raise AssertionError("the refresh token was not rotated")

    def answer(self, operation, request):
        with self._changed:
            answer = self._carry_out(operation, request)
            self._asked.add(operation)
            delay = self._delays.pop(operation, 0)
            self._changed.notify_all()
        time.sleep(delay)
        return answer

    def _carry_out(self, operation, request):
        if operation == "InitiateAuth" and request["AuthFlow"] == "USER_PASSWORD_AUTH":
            self.sign_ins += 1
            return self._tokens()
        if operation == "InitiateAuth":
            raise Refused("InvalidParameterException", f"{request['AuthFlow']} flow not enabled for this client")
        if operation == "GetTokensFromRefreshToken":
            if request["RefreshToken"] != self.refresh_token:
                self.lost += 1
                raise Refused("NotAuthorizedException", "Refresh Token has been revoked")
            self.rotations += 1
            return self._tokens()
        identity = {"IdentityId": "eu-west-1:00000000-0000-0000-0000-000000000001"}
        if operation == "GetId":
            return identity
        expiry = int(time.time()) + CREDENTIALS_LIFETIME
        keys = {"AccessKeyId": "ASIAEXAMPLE", "SecretKey": "secret", "SessionToken": "session", "Expiration": expiry}
        return {**identity, "Credentials": keys}

    def _tokens(self):
        self.refresh_token = f"refresh-{self.sign_ins}-{self.rotations}"
        claims = {
            "iss": f"https://cognito-idp.eu-west-1.amazonaws.com/{POOL_ID}",
            "sub": "sub-1",
            "exp": int(time.time()) + TOKEN_LIFETIME,
            "cognito:username": "demo",
        }
        token = "e30." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".c2ln"
        tokens = {"AccessToken": "access", "IdToken": token, "RefreshToken": self.refresh_token, "ExpiresIn": 60}
        return {"AuthenticationResult": tokens}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self._send(200, {})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        operation = self.headers["x-amz-target"].rpartition(".")[2]
        try:
            self._send(200, self.server.cognito.answer(operation, request))
        except Refused as refused:
            self._send(400, refused.body)

    def _send(self, status, body):
        body = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("content-type", "application/x-amz-json-1.1")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            # Whoever asked has given up.
            self.close_connection = True

    def log_message(self, *_):
        pass
