"""Lambda functions behind hooks of `countersign sandbox`: boto3 signs up and signs in as they decide."""

import base64
import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from program import Sandbox

PASSWORD = "Secret-password-1"


def handler(event, context):
    """What a pool's functions do, in one."""
    request, response = event["request"], event["response"]
    match event["triggerSource"]:
        case "PreSignUp_SignUp":
            if not request["userAttributes"]["email"].endswith("@example.com"):
                raise ValueError("only example.com may sign up")
            response["autoConfirmUser"] = response["autoVerifyEmail"] = True
        case "DefineAuthChallenge_Authentication":
            answered = request["session"]
            if answered and answered[-1]["challengeResult"]:
                response["issueTokens"] = True
            else:
                response["failAuthentication"] = len(answered) >= 2
                response["challengeName"] = "CUSTOM_CHALLENGE"
        case "CreateAuthChallenge_Authentication":
            response["publicChallengeParameters"] = {"question": "6 * 7"}
            response["privateChallengeParameters"] = {"answer": "42"}
        case "VerifyAuthChallengeResponse_Authentication":
            expected = request["privateChallengeParameters"]["answer"]
            response["answerCorrect"] = request["challengeAnswer"] == expected
        case source if source.startswith("TokenGeneration_"):
            response["claimsOverrideDetails"] = {"claimsToAddOrOverride": {"source": source}}
    return event


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            status, answer = 200, handler(event, None)
        except Exception as error:
            status, answer = 500, {"errorMessage": str(error), "errorType": type(error).__name__}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


class TriggersOfSandbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}/2015-03-31/functions/function/invocations"
        triggers = [
            "pre-sign-up", "pre-token-generation", "define-auth-challenge", "create-auth-challenge",
            "verify-auth-challenge-response",
        ]
        cls.sandbox = Sandbox(cls, *(f"--{trigger}={url}" for trigger in triggers))
        config = Config(signature_version=UNSIGNED)
        cls.cognito = boto3.client(
            "cognito-idp", region_name="eu-west-1", endpoint_url=cls.sandbox.user_pool, config=config
        )

    def sign_up(self, username, email):
        return self.cognito.sign_up(
            ClientId=self.sandbox.client_id, Username=username, Password=PASSWORD,
            UserAttributes=[{"Name": "email", "Value": email}],
        )

    def begin(self):
        return self.cognito.initiate_auth(
            AuthFlow="CUSTOM_AUTH", ClientId=self.sandbox.client_id,
            AuthParameters={"USERNAME": self.sandbox.username},
        )

    def reply(self, challenge, answer):
        return self.cognito.respond_to_auth_challenge(
            ClientId=self.sandbox.client_id, ChallengeName=challenge["ChallengeName"],
            Session=challenge["Session"],
            ChallengeResponses={"USERNAME": self.sandbox.username, "ANSWER": answer},
        )

    def test_a_function_confirms_a_sign_up_or_refuses_it(self):
        self.assertTrue(self.sign_up("ann", "ann@example.com")["UserConfirmed"])
        with self.assertRaises(ClientError) as refused:
            self.sign_up("eve", "eve@example.org")
        error = refused.exception.response["Error"]
        self.assertEqual(error["Code"], "UserLambdaValidationException")
        self.assertEqual(error["Message"], "PreSignUp failed with error only example.com may sign up.")

    def test_functions_ask_until_the_answer_is_right(self):
        challenge = self.begin()
        self.assertEqual(challenge["ChallengeParameters"]["question"], "6 * 7")
        tokens = self.reply(self.reply(challenge, "41"), "42")["AuthenticationResult"]
        claims = tokens["IdToken"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        self.assertEqual(claims["source"], "TokenGeneration_Authentication")

    def test_functions_end_a_sign_in(self):
        challenge = self.reply(self.begin(), "40")
        with self.assertRaises(self.cognito.exceptions.NotAuthorizedException):
            self.reply(challenge, "41")
