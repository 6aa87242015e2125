"""The program signs in at ministack, and ministack's API accepts what it signs."""

import json
import os
import tempfile
import unittest
import urllib.error
import urllib.request

from ministack_services import PASSWORD, REGION, Ministack
from program import BINARY, Person, Running, run, totp

NEW_PASSWORD = "Ministack-password-2"


class ProgramAtMinistack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ministack = Ministack(cls)
        cls.ministack.create_user("ada")

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.settings = {**self.ministack.settings(), "XDG_STATE_HOME": self.folder}

    def with_password(self, username="ada", password=PASSWORD):
        return {**self.settings, "COUNTERSIGN_USERNAME": username, "COUNTERSIGN_PASSWORD": password}

    def run_program(self, *arguments, settings=None):
        return run(arguments, settings or self.settings, self.folder)

    def succeed(self, *arguments, settings=None):
        ended = self.run_program(*arguments, settings=settings)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
        return ended.stdout

    def serve(self, settings):
        arguments = [BINARY, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]
        settings = {**settings, "COUNTERSIGN_LOG_FORMAT": "json"}
        proxy = Running(self, arguments, settings, self.folder)
        line = json.loads(proxy.wait_for('"starting"'))
        return line.get("fields", line)["url"]

    def get(self, url):
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode(), refusal.headers

    def assert_signed(self, settings):
        status, body, _ = self.get(f"{self.serve(settings)}/hello?b=2&a=1%2F1")
        self.assertEqual((status, json.loads(body)), (200, {"hello": "signed"}))

    def test_the_api_refuses_what_is_not_signed(self):
        status, _, headers = self.get(f"{self.ministack.api_url}/hello")
        self.assertEqual((status, headers["x-amzn-errortype"]), (403, "MissingAuthenticationTokenException"))

    def test_the_api_refuses_a_secret_key_that_was_tampered_with(self):
        issued = self.ministack.issue_credentials("ada")
        keys = {
            "AWS_ACCESS_KEY_ID": issued["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": issued["SecretKey"],
            "AWS_SESSION_TOKEN": issued["SessionToken"],
        }
        settings = {
            "COUNTERSIGN_CREDENTIALS": "aws",
            "COUNTERSIGN_UPSTREAM": self.ministack.api_url,
            "COUNTERSIGN_REGION": REGION,
            "COUNTERSIGN_SERVICE": "execute-api",
        }
        self.assert_signed({**settings, **keys})
        for tampered, refusal in (
            ("AWS_SECRET_ACCESS_KEY", "InvalidSignatureException"),
            ("AWS_SESSION_TOKEN", "UnrecognizedClientException"),
        ):
            keys_then = {**keys, tampered: keys[tampered][::-1]}
            status, _, headers = self.get(f"{self.serve({**settings, **keys_then})}/hello")
            self.assertEqual((status, headers["x-amzn-errortype"]), (403, refusal))

    def test_a_password_signs_requests(self):
        self.assert_signed(self.with_password())

    def test_the_password_flow_signs_requests(self):
        self.assert_signed({**self.with_password(), "COUNTERSIGN_AUTH_FLOW": "password"})

    def test_a_client_secret_is_proven_in_every_call(self):
        settings = {
            **self.with_password(),
            "COUNTERSIGN_CLIENT_ID": self.ministack.confidential_client_id,
            "COUNTERSIGN_CLIENT_SECRET": self.ministack.client_secret,
        }
        self.assert_signed(settings)
        self.succeed("login", settings=settings)
        del settings["COUNTERSIGN_USERNAME"], settings["COUNTERSIGN_PASSWORD"]
        self.succeed("whoami", settings=settings)
        self.succeed("logout", settings=settings)

        settings["COUNTERSIGN_CLIENT_SECRET"] = "tampered"
        settings = {**self.with_password(), **settings}
        refused = self.run_program("login", settings=settings)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("client-secret-file", refused.stderr)

    def test_a_wrong_password_is_refused(self):
        refused = self.run_program("login", settings=self.with_password(password="Wrong-password-1"))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("Incorrect username or password", refused.stderr)
        self.assertEqual(self.run_program("whoami").returncode, 1)

    def test_a_stored_session_is_refreshed_and_revoked(self):
        self.succeed("login", settings=self.with_password())
        for _ in range(3):
            about = json.loads(self.succeed("whoami", "--json"))
            self.assertEqual((about["user"], about["user_pool"]), ("ada", self.ministack.user_pool_id))
        self.succeed("check", "--online")
        self.assert_signed(self.settings)

        folder = os.path.join(self.folder, "countersign")
        (name,) = [name for name in os.listdir(folder) if name.endswith(".json")]
        session = os.path.join(folder, name)
        with open(session, encoding="utf-8") as file:
            content = file.read()
        self.assertEqual(self.succeed("logout"), "Signed out ada.\n")
        self.assertFalse(os.path.exists(session))
        with open(os.open(session, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(content)
        refused = self.run_program("whoami")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("countersign login", refused.stderr)

    def test_an_authenticators_secret_answers_for_its_owner(self):
        self.ministack.allow_authenticators()
        self.ministack.create_user("grace")
        secret_file = os.path.join(self.folder, "totp-secret")
        with open(os.open(secret_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(self.ministack.add_authenticator("grace"))
        self.assert_signed({**self.with_password("grace"), "COUNTERSIGN_TOTP_SECRET_FILE": secret_file})

    def test_a_person_types_a_password_unseen(self):
        person = Person(self, ["login"], self.settings, self.folder)
        person.answer("User name: ", "ada")
        person.answer("Password: ", PASSWORD)
        self.assertEqual(person.exit_code(), 0, person.screen)
        self.assertIn("Signed in as ada.", person.screen)
        self.assertNotIn(PASSWORD, person.screen)
        self.assert_signed(self.settings)

    def test_a_person_replaces_a_temporary_password(self):
        self.ministack.create_user("joan", permanent=False)
        person = Person(self, ["login", "--username", "joan"], self.settings, self.folder)
        person.answer("Password: ", PASSWORD)
        person.answer("New password: ", NEW_PASSWORD)
        person.answer("Once more: ", "a slip")
        person.answer("New password: ", NEW_PASSWORD)
        person.answer("Once more: ", NEW_PASSWORD)
        self.assertEqual(person.exit_code(), 0, person.screen)
        self.assertNotIn(NEW_PASSWORD, person.screen)
        self.assert_signed(self.with_password("joan", NEW_PASSWORD))

    def test_a_person_types_the_code_of_an_authenticator(self):
        self.ministack.allow_authenticators()
        self.ministack.create_user("edsger")
        secret = self.ministack.add_authenticator("edsger")
        person = Person(self, ["login"], self.with_password("edsger"), self.folder)
        person.answer("Code of your authenticator app: ", "000000")
        person.answer("That code is wrong.", totp(secret))
        self.assertEqual(person.exit_code(), 0, person.screen)
        self.assert_signed(self.settings)
