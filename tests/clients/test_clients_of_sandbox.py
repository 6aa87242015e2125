"""Clients that are not ours sign in at `countersign sandbox`, and sign requests that its API accepts."""

import json
import os
import subprocess
import tempfile
import unittest
import unittest.mock
import urllib.error
import urllib.request

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, CredentialRetrievalError
from pycognito.aws_srp import AWSSRP

from program import BINARY, Person, Sandbox, run

REGION = "eu-west-1"
CONFIDENTIAL_CLIENT_ID = "5sandboxconfidential0000002"
CONFIDENTIAL_CLIENT_SECRET = "sandboxclientsecret0123456789abcdefghijklmnopqrstuvw"
ROTATING_CLIENT_ID = "5sandboxrotatingclient00003"


class ClientsOfSandbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox(cls)
        cls.issuer = f"cognito-idp.{REGION}.amazonaws.com/{cls.sandbox.user_pool_id}"

    def client(self, service, endpoint):
        return boto3.client(
            service, region_name=REGION, endpoint_url=endpoint, config=Config(signature_version=UNSIGNED)
        )

    def cognito(self):
        return self.client("cognito-idp", self.sandbox.user_pool)

    def srp(self, password=None, client_id=None, client_secret=None):
        """pycognito's SRP sign-in, not begun."""
        return AWSSRP(
            username=self.sandbox.username,
            password=password or self.sandbox.password,
            pool_id=self.sandbox.user_pool_id,
            client_id=client_id or self.sandbox.client_id,
            client_secret=client_secret,
            client=self.cognito(),
        )

    def sign_in(self, **client):
        return self.srp(**client).authenticate_user()["AuthenticationResult"]

    def identity_js(self, password):
        return subprocess.run(
            [
                "node",
                os.path.join(os.path.dirname(__file__), "sign_in.mjs"),
                *(self.sandbox.user_pool, self.sandbox.user_pool_id, self.sandbox.client_id),
                *(self.sandbox.username, password),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def credentials(self):
        """A user's credentials, by boto3's own way to them."""
        identity = self.client("cognito-identity", self.sandbox.identity_pool)
        logins = {self.issuer: self.sign_in()["IdToken"]}
        identity_id = identity.get_id(IdentityPoolId=self.sandbox.identity_pool_id, Logins=logins)["IdentityId"]
        issued = identity.get_credentials_for_identity(IdentityId=identity_id, Logins=logins)
        self.assertEqual(issued["IdentityId"], identity_id)
        return issued["Credentials"], identity_id

    def send_signed(self, secret_key=None):
        """Status and answer of the API to a request that botocore has signed."""
        issued, identity_id = self.credentials()
        keys = Credentials(issued["AccessKeyId"], secret_key or issued["SecretKey"], issued["SessionToken"])
        return *self.send(keys), identity_id

    def send(self, keys, query="b=2&a=%2F1"):
        request = AWSRequest("POST", f"{self.sandbox.api}/orders?{query}", data=b'{"n":1}')
        request.headers["content-type"] = "application/json"
        SigV4Auth(keys, "execute-api", REGION).add_auth(request)
        prepared = request.prepare()
        sent = urllib.request.Request(prepared.url, prepared.body, dict(prepared.headers), method="POST")
        try:
            with urllib.request.urlopen(sent, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.headers["x-amzn-errortype"]

    def folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def test_identity_js_signs_in_by_srp_and_refreshes(self):
        # Numbers with leading zeros or a high bit are met by chance alone.
        for _ in range(3):
            ended = self.identity_js(self.sandbox.password)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            claims = json.loads(ended.stdout)
            user = (self.sandbox.username, self.sandbox.client_id)
            self.assertEqual((claims["cognito:username"], claims["aud"]), user)

    def test_identity_js_is_refused_with_a_wrong_password(self):
        ended = self.identity_js("Wrong-password-1")
        self.assertEqual(
            (ended.returncode, ended.stderr),
            (1, "NotAuthorizedException: Incorrect username or password.\n"),
        )

    def test_pycognito_signs_in_by_srp(self):
        for _ in range(20):
            self.assertIn("IdToken", self.sign_in())

    def test_pycognito_signs_in_with_a_client_secret(self):
        secret = {"client_id": CONFIDENTIAL_CLIENT_ID, "client_secret": CONFIDENTIAL_CLIENT_SECRET}
        self.assertIn("IdToken", self.sign_in(**secret))
        with self.assertRaisesRegex(ClientError, "secret"):
            self.sign_in(client_id=CONFIDENTIAL_CLIENT_ID, client_secret="tampered")

    def test_pycognito_is_refused_with_a_wrong_password(self):
        with self.assertRaisesRegex(ClientError, "Incorrect username or password"):
            self.sign_in(password="Wrong-password-1")

    def test_boto3_refreshes_and_revokes(self):
        cognito, token = self.cognito(), self.sign_in()["RefreshToken"]
        refreshed = cognito.get_tokens_from_refresh_token(RefreshToken=token, ClientId=self.sandbox.client_id)
        self.assertNotIn("RefreshToken", refreshed["AuthenticationResult"])
        cognito.initiate_auth(
            AuthFlow="REFRESH_TOKEN_AUTH", ClientId=self.sandbox.client_id, AuthParameters={"REFRESH_TOKEN": token}
        )
        cognito.revoke_token(Token=token, ClientId=self.sandbox.client_id)
        with self.assertRaises(cognito.exceptions.NotAuthorizedException):
            cognito.get_tokens_from_refresh_token(RefreshToken=token, ClientId=self.sandbox.client_id)

    def test_boto3_rotates_refresh_tokens(self):
        cognito = self.cognito()
        first = self.sign_in(client_id=ROTATING_CLIENT_ID)["RefreshToken"]
        renew = {"ClientId": ROTATING_CLIENT_ID}
        renewed = cognito.get_tokens_from_refresh_token(RefreshToken=first, **renew)
        second = renewed["AuthenticationResult"]["RefreshToken"]
        self.assertNotEqual(first, second)
        with self.assertRaises(cognito.exceptions.RefreshTokenReuseException):
            cognito.get_tokens_from_refresh_token(RefreshToken=first, **renew)
        cognito.get_tokens_from_refresh_token(RefreshToken=second, **renew)

    def test_boto3_takes_guest_credentials(self):
        identity = self.client("cognito-identity", self.sandbox.identity_pool)
        identity_id = identity.get_id(IdentityPoolId=self.sandbox.identity_pool_id)["IdentityId"]
        issued = identity.get_credentials_for_identity(IdentityId=identity_id)["Credentials"]
        self.assertTrue(issued["AccessKeyId"].startswith("ASIA"))

    def test_the_api_accepts_what_botocore_signs(self):
        status, event, identity_id = self.send_signed()
        self.assertEqual((status, event["path"], event["body"]), (200, "/orders", '{"n":1}'))
        self.assertEqual(event["requestContext"]["identity"]["cognitoIdentityId"], identity_id)

    def test_the_api_refuses_a_wrong_secret_key(self):
        status, error, _ = self.send_signed(secret_key="tampered")
        self.assertEqual((status, error), (403, "InvalidSignatureException"))

    def test_the_proxy_signs_as_the_demonstration_user(self):
        with urllib.request.urlopen(f"{self.sandbox.url}/hello", timeout=20) as answer:
            event = json.load(answer)
        _, identity_id = self.credentials()
        self.assertEqual(event["requestContext"]["identity"]["cognitoIdentityId"], identity_id)

    def test_botocore_signs_with_what_credentials_prints(self):
        folder = self.folder()
        settings = self.sandbox.settings(folder)
        password = {"COUNTERSIGN_USERNAME": self.sandbox.username, "COUNTERSIGN_PASSWORD": self.sandbox.password}
        self.assertEqual(run(["login"], {**settings, **password}, folder).returncode, 0)
        config, profiles = os.path.join(folder, "countersign.toml"), os.path.join(folder, "aws-config")
        with open(config, "w") as file:
            for name in ["user-pool-id", "client-id", "identity-pool-id"]:
                variable = f"COUNTERSIGN_{name.upper().replace('-', '_')}"
                file.write(f"{name} = {json.dumps(settings.pop(variable))}\n")
        with open(profiles, "w") as file:
            file.write(f"[profile sandbox]\ncredential_process = {BINARY} credentials --config {config}\n")
        with unittest.mock.patch.dict(os.environ, {**settings, "AWS_CONFIG_FILE": profiles}):
            keys = botocore.session.Session(profile="sandbox").get_credentials()
            self.assertEqual(keys.method, "custom-process")
            status, event = self.send(keys.get_frozen_credentials())
        self.assertEqual((status, event["path"]), (200, "/orders"))
        _, identity_id = self.credentials()
        self.assertEqual(event["requestContext"]["identity"]["cognitoIdentityId"], identity_id)

    def test_botocore_says_what_credentials_says(self):
        folder = self.folder()
        profiles = os.path.join(folder, "aws-config")
        with open(profiles, "w") as file:
            file.write(f"[profile sandbox]\ncredential_process = {BINARY} credentials\n")
        settings = {**self.sandbox.settings(folder), "AWS_CONFIG_FILE": profiles}
        with unittest.mock.patch.dict(os.environ, settings):
            session = botocore.session.Session(profile="sandbox")
            with self.assertRaisesRegex(CredentialRetrievalError, "sign in with `countersign login`"):
                session.get_credentials()

    def test_a_person_signs_in_at_a_terminal(self):
        folder = self.folder()
        settings = self.sandbox.settings(folder)
        person = Person(self, ["login"], settings, folder)
        person.answer("User name: ", self.sandbox.username)
        person.answer("Password: ", self.sandbox.password)
        self.assertEqual(person.exit_code(), 0, person.screen)
        self.assertNotIn(self.sandbox.password, person.screen)
        person = Person(self, ["whoami"], settings, folder)
        self.assertEqual(person.exit_code(), 0, person.screen)
        self.assertIn(self.sandbox.username, person.screen)
