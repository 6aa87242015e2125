"""SDKs that are not ours reach the buckets they mean, and show what the proxy says when it does not forward."""

import http.server
import json
import os
import subprocess
import tempfile
import threading
import unittest
import unittest.mock

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from urllib3.util import connection

from program import BINARY, Running, clean_environment

REGION = "eu-west-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
# A service of each protocol, with boto3's name for it and a call without parameters.
SERVICES = {
    "s3": ("s3", "list_buckets"),
    "sns": ("sns", "list_topics"),
    "sqs": ("sqs", "list_queues"),
    "iam": ("iam", "list_users"),
    "sts": ("sts", "get_caller_identity"),
    "ec2": ("ec2", "describe_instances"),
    "dynamodb": ("dynamodb", "list_tables"),
    "lambda": ("lambda", "list_functions"),
    "route53": ("route53", "list_hosted_zones"),
    "monitoring": ("cloudwatch", "list_metrics"),
    "ses": ("ses", "list_identities"),
    "cloudformation": ("cloudformation", "list_stacks"),
    # It speaks CBOR only.
    "events": ("eventbridgev2", "list_event_buses"),
}
CODE, DETAIL = "upstream-refused", "The upstream could not be connected to."


class Bucket(http.server.BaseHTTPRequestHandler):
    """Takes every request for granted, and remembers it."""

    protocol_version = "HTTP/1.1"
    requests = []

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.requests.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_PUT = do_DELETE = do_HEAD = answer

    def log_message(self, *_):
        pass


def localhost_below_localhost(create):
    """`create_connection` that finds every name below localhost, as many systems do and some do not."""

    def create_connection(address, *arguments, **options):
        host, port = address
        return create(("localhost" if host.endswith(".localhost") else host, port), *arguments, **options)

    return create_connection


class AwsSdks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        routes = {service: "http://127.0.0.1:1" for service in SERVICES}
        routes["bucket"] = f"http://127.0.0.1:{server.server_port}"
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        with open(f"{folder.name}/countersign.toml", "w") as file:
            file.write(f'credentials = "aws"\nregion = "{REGION}"\n')
            for name, upstream in routes.items():
                service = "s3" if name == "bucket" else name
                file.write(f'[[route]]\npath = "/{name}"\nstrip-prefix = "/{name}"\n')
                file.write(f'upstream = "{upstream}"\nservice = "{service}"\n')
        settings = {**KEYS, "COUNTERSIGN_LISTEN": "localhost:0", "COUNTERSIGN_ADMIN_LISTEN": "off"}
        proxy = Running(cls, [BINARY, "serve"], {**settings, "COUNTERSIGN_LOG_FORMAT": "json"}, folder.name)
        line = json.loads(proxy.wait_for('"starting"'))
        cls.url = line.get("fields", line)["url"]

    def setUp(self):
        Bucket.requests.clear()

    def client(self, name, route, **config):
        return boto3.client(
            name,
            region_name=REGION,
            endpoint_url=f"{self.url}/{route}",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"max_attempts": 0}, **config),
        )

    def run_tool(self, *command):
        environment = {"AWS_DEFAULT_REGION": REGION, "AWS_MAX_ATTEMPTS": "1", **KEYS}
        ended = subprocess.run(
            command,
            env={**clean_environment(environment), "NODE_PATH": os.environ["NODE_PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return ended.stdout + ended.stderr

    def test_boto3_shows_the_detail_of_the_proxys_errors(self):
        for service, (name, operation) in SERVICES.items():
            with self.subTest(service), self.assertRaises(ClientError) as raised:
                getattr(self.client(name, service), operation)()
            error = raised.exception.response["Error"]
            self.assertEqual((error["Code"], error["Message"]), (CODE, DETAIL))

    def test_the_aws_cli_shows_the_detail_of_the_proxys_errors(self):
        aws = os.path.join(os.environ["VIRTUAL_ENV"], "bin", "aws")
        for service, arguments in (("s3", ["ls"]), ("sns", ["list-topics"]), ("dynamodb", ["list-tables"])):
            with self.subTest(service):
                shown = self.run_tool(aws, service, *arguments, "--endpoint-url", f"{self.url}/{service}")
                self.assertIn(f"({CODE})", shown)
                self.assertIn(DETAIL, shown)

    def test_the_sdk_for_javascript_shows_the_detail_of_the_proxys_errors(self):
        script = os.path.join(os.path.dirname(__file__), "aws_sdks.mjs")
        shown = json.loads(self.run_tool("node", script, "errors", self.url).splitlines()[0])
        self.assertEqual(len(shown), 6)
        for service, error in shown.items():
            self.assertEqual(error, [CODE, DETAIL, 502], service)

    def test_a_bucket_in_boto3s_host_is_the_bucket(self):
        patched = localhost_below_localhost(connection.create_connection)
        with unittest.mock.patch.object(connection, "create_connection", patched):
            client = self.client("s3", "bucket", s3={"addressing_style": "virtual"})
            client.delete_object(Bucket="photos", Key="orders/a b")
            client.delete_object(Bucket="photos", Key="photos")
            client.delete_bucket(Bucket="my.photos")
            with self.assertRaisesRegex(ClientError, "addressing_style"):
                client.delete_object(Bucket="photos.s3", Key="a")
        expected = ["/photos/orders/a%20b", "/photos/photos", "/my.photos"]
        self.assertEqual([request.rstrip("/") for request in Bucket.requests], [f"DELETE {e}" for e in expected])

    def test_a_bucket_in_the_host_of_the_sdk_for_javascript_is_the_bucket(self):
        script = os.path.join(os.path.dirname(__file__), "aws_sdks.mjs")
        self.assertEqual(self.run_tool("node", script, "delete", f"{self.url}/bucket").splitlines()[0], "deleted")
        expected = ["/photos/orders/a%20b?x-id=DeleteObject", "/photos/orders/a%20b?x-id=DeleteObject"]
        self.assertEqual(Bucket.requests, [f"DELETE {target}" for target in expected])


if __name__ == "__main__":
    unittest.main()
