"""WebSocket clients that are not ours, through the proxy to servers that are not ours and to the sandbox's API."""

import asyncio
import json
import os
import subprocess
import tempfile
import unittest
import urllib.parse

import boto3
import websockets
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import websocket_cases
from program import BINARY, PATIENCE, Running, Sandbox, run

REGION = "eu-west-1"
NODE = {"PATH": os.environ["PATH"], "NODE_PATH": os.environ["NODE_PATH"]}
MESSAGES = 10000
SIZES = (0, 1, 125, 126, 65535, 65536, 131072)


def server(test, mode):
    """The URL of a server of `websocket.mjs`."""
    running = Running(test, ["node", "websocket.mjs", mode], NODE, folder=os.path.dirname(__file__))
    return f"ws://127.0.0.1:{running.wait_for('').strip()}"


def proxy(test, sandbox, upstream):
    """The URL of a proxy in front of `upstream` that signs in at the sandbox."""
    state = tempfile.mkdtemp()
    settings = {
        **sandbox.settings(state),
        "COUNTERSIGN_USERNAME": sandbox.username,
        "COUNTERSIGN_PASSWORD": sandbox.password,
        "COUNTERSIGN_UPSTREAM": upstream,
        "COUNTERSIGN_REGION": REGION,
        "COUNTERSIGN_SERVICE": "execute-api",
        "COUNTERSIGN_LISTEN": "127.0.0.1:0",
        "COUNTERSIGN_ADMIN_LISTEN": "off",
        "COUNTERSIGN_LOG_FORMAT": "json",
    }
    running = Running(test, [BINARY, "serve"], settings, folder=state)
    url = json.loads(running.wait_for('"message":"ready"'))["url"]
    return url.replace("http:", "ws:", 1)


class WebSockets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox(cls)
        cls.echo = server(cls, "echo")
        cls.proxy = proxy(cls, cls.sandbox, cls.echo)
        cls.api = cls.sandbox.url.replace("http:", "ws:", 1)

    def node(self, *arguments):
        ended = subprocess.run(
            ["node", "websocket.mjs", *arguments],
            env=NODE,
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        self.assertEqual((ended.stdout, ended.returncode), ("fine\n", 0), ended.stderr)

    def credentials(self):
        with tempfile.TemporaryDirectory() as folder:
            settings = {
                **self.sandbox.settings(folder),
                "COUNTERSIGN_USERNAME": self.sandbox.username,
                "COUNTERSIGN_PASSWORD": self.sandbox.password,
            }
            ended = run(["credentials"], settings, folder)
        found = json.loads(ended.stdout)
        return found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]

    def test_ws_of_node_exchanges_every_kind_of_message(self):
        self.node("client", self.proxy, str(SIZES[-1]))
        self.node("client", self.api, str(SIZES[-1]), "text")

    def test_mqtt_goes_through(self):
        self.node("mqtt", proxy(self, self.sandbox, server(self, "broker")))

    def test_wscat_says_what_comes_back(self):
        wscat = os.path.join(os.environ["NODE_PATH"], ".bin", "wscat")
        for url in (self.proxy, self.api):
            # It ends with its input.
            with subprocess.Popen(
                ["node", wscat, "-c", url, "-x", "hello", "-w", "1"],
                env=NODE,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as ended:
                self.assertEqual(ended.stdout.read().strip(), "hello")

    def test_websockets_of_python_exchanges_every_kind_of_message(self):
        async def exchange(url, compression):
            connecting = websockets.connect(url, compression=compression, max_size=None, subprotocols=["chat"])
            async with connecting as connection:
                self.assertEqual(connection.subprotocol, "chat")
                for size in SIZES:
                    for message in ("x" * size, os.urandom(size)):
                        await connection.send(message)
                        self.assertEqual(await connection.recv(), message)
                        await connection.send([message[:size // 2], message[size // 2:]])
                        self.assertEqual(await connection.recv(), message)
                        await (await connection.ping())
                async def send():
                    for number in range(MESSAGES):
                        await connection.send(str(number))

                async def receive():
                    return [await connection.recv() for _ in range(MESSAGES)]

                _, received = await asyncio.gather(send(), receive())
                self.assertEqual(received, [str(number) for number in range(MESSAGES)])
            self.assertEqual(connection.close_code, 1000)

        for compression in (None, "deflate"):
            asyncio.run(asyncio.wait_for(exchange(self.proxy, compression), 4 * PATIENCE))

    def test_a_server_has_the_same_verdicts_through_the_proxy(self):
        count = 0
        for name, sent in websocket_cases.cases():
            with self.subTest(name):
                direct = websocket_cases.verdict(self.echo, sent)
                self.assertEqual(websocket_cases.verdict(self.proxy, sent), direct)
                if len(sent) < 1000:
                    self.assertEqual(websocket_cases.verdict(self.proxy, sent, piece=1), direct)
            count += 1
        self.assertGreater(count, 90)

    def test_the_gateways_clients_of_the_sdk_reach_a_connection(self):
        key, secret, token = self.credentials()
        client = boto3.client(
            "apigatewaymanagementapi",
            region_name=REGION,
            endpoint_url=self.sandbox.api,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
        )
        # botocore signs the query as browsers send it.
        request = AWSRequest("GET", self.sandbox.api)
        SigV4QueryAuth(Credentials(key, secret, token), "execute-api", REGION, expires=60).add_auth(request)
        url = request.url.replace("http:", "ws:", 1)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
        self.assertEqual(query["X-Amz-SignedHeaders"], ["host"])

        async def talk():
            async with websockets.connect(url) as connection:
                await connection.send('{"action":"event"}')
                name = json.loads(await connection.recv())["requestContext"]["connectionId"]
                call = asyncio.to_thread
                await call(client.post_to_connection, ConnectionId=name, Data=b"pushed")
                self.assertEqual(await connection.recv(), "pushed")
                described = await call(client.get_connection, ConnectionId=name)
                self.assertEqual(described["Identity"]["SourceIp"], "127.0.0.1")
                self.assertLessEqual(described["ConnectedAt"], described["LastActiveAt"])
                with self.assertRaises(client.exceptions.PayloadTooLargeException):
                    await call(client.post_to_connection, ConnectionId=name, Data=b"x" * 131073)
                await call(client.delete_connection, ConnectionId=name)
                with self.assertRaises(websockets.ConnectionClosedOK):
                    await connection.recv()
            with self.assertRaises(client.exceptions.GoneException):
                await call(client.post_to_connection, ConnectionId=name, Data=b"late")
            with self.assertRaises(ClientError) as refused:
                await call(client.post_to_connection, ConnectionId="nobody", Data=b"x")
            self.assertEqual(refused.exception.response["Error"]["Code"], "BadRequestException")

        asyncio.run(asyncio.wait_for(talk(), 4 * PATIENCE))
