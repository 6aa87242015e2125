"""Every operation of the sandbox's user pool keeps to the service model of AWS: what it requires, answers and refuses."""

import json
import re
import unittest
import urllib.error
import urllib.request

import botocore.session

from program import Sandbox, totp

PASSWORD = "Secret-password-1"
NEW_PASSWORD = "Another-password-2"
UNKNOWN = "00000000-0000-0000-0000-000000000000"

OPERATIONS = [
    "InitiateAuth", "RespondToAuthChallenge", "GetTokensFromRefreshToken", "RevokeToken", "SignUp", "ConfirmSignUp",
    "ResendConfirmationCode", "ForgotPassword", "ConfirmForgotPassword", "ChangePassword", "GetUser",
    "UpdateUserAttributes", "DeleteUserAttributes", "GetUserAttributeVerificationCode", "VerifyUserAttribute",
    "SetUserMFAPreference", "AssociateSoftwareToken", "VerifySoftwareToken", "GetUserAuthFactors", "ConfirmDevice",
    "ListDevices", "GetDevice", "ForgetDevice", "UpdateDeviceStatus", "GlobalSignOut", "DeleteUser",
    "StartWebAuthnRegistration", "CompleteWebAuthnRegistration", "ListWebAuthnCredentials", "DeleteWebAuthnCredential",
    "AdminInitiateAuth", "AdminRespondToAuthChallenge", "AdminCreateUser", "AdminSetUserPassword",
    "AdminConfirmSignUp", "AdminGetUser", "AdminUpdateUserAttributes", "AdminResetUserPassword",
    "AdminUserGlobalSignOut", "AdminDisableUser", "AdminEnableUser", "AdminDeleteUser", "AdminAddUserToGroup",
    "CreateGroup",
    "AdminRemoveUserFromGroup", "AdminListGroupsForUser", "ListUsers",
]

# Members that make a request complete. They name no user, token or code that exists.
COMPLETE = {
    "AccessToken": "x.y.z",
    "AttributeName": "email",
    "AuthFlow": "USER_PASSWORD_AUTH",
    "AuthParameters": {"USERNAME": UNKNOWN, "PASSWORD": PASSWORD},
    "ChallengeName": "SMS_MFA",
    "ChallengeResponses": {"USERNAME": UNKNOWN, "SMS_MFA_CODE": "123456"},
    "Code": "123456",
    "ConfirmationCode": "123456",
    "Credential": {"id": "x"},
    "CredentialId": "x",
    "DeviceKey": f"eu-west-1_{UNKNOWN}",
    "DeviceSecretVerifierConfig": {"Salt": "AAAA", "PasswordVerifier": "AAAA"},
    "GroupName": "absent",
    "Password": PASSWORD,
    "PreviousPassword": PASSWORD,
    "ProposedPassword": NEW_PASSWORD,
    "RefreshToken": "x",
    "Session": "x" * 20,
    "UserAttributeNames": ["name"],
    "UserAttributes": [{"Name": "name", "Value": "x"}],
    "UserCode": "123456",
    "Username": UNKNOWN,
}

CREATING = {"SignUp", "AdminCreateUser", "CreateGroup"}

# These succeed although the user does not exist.
WITHOUT_AN_ERROR = {
    "SignUp", "ForgotPassword", "ResendConfirmationCode", "AdminCreateUser", "ListUsers", "RevokeToken", "CreateGroup",
}


class SandboxOperations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox(cls)
        cls.model = botocore.session.get_session().get_service_model("cognito-idp")

    def call(self, operation, **members):
        """The answer, or the code of the error, which must be one that the model has for the operation."""
        request = urllib.request.Request(
            self.sandbox.user_pool,
            json.dumps(members).encode(),
            {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"AWSCognitoIdentityProviderService.{operation}",
            },
        )
        model = self.model.operation_model(operation)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            refusal = json.loads(error.read())
            self.assertEqual(error.headers["x-amzn-errortype"], refusal["__type"] + ":")
            self.assertIn(refusal["__type"], [shape.name for shape in model.error_shapes], operation)
            self.assertTrue(refusal["message"], operation)
            return refusal["__type"], refusal["message"]
        if model.output_shape is None:
            self.assertEqual(body, b"", operation)
            return None
        value = json.loads(body)
        self.compare(operation, model.output_shape, value)
        return value

    def compare(self, path, shape, value):
        """Fails unless `value` has the shape: every required member, no unknown one, each of its type."""
        types = {
            "string": str, "boolean": bool, "integer": int, "long": int, "timestamp": (int, float),
            "structure": dict, "map": dict, "list": list,
        }
        self.assertIsInstance(value, types[shape.type_name], path)
        if shape.type_name == "structure" and not shape.metadata.get("document"):
            self.assertLessEqual(set(shape.required_members), set(value), path)
            self.assertLessEqual(set(value), set(shape.members), path)
            for name, member in value.items():
                self.compare(f"{path}.{name}", shape.members[name], member)
        elif shape.type_name == "list":
            for member in value:
                self.compare(f"{path}[]", shape.member, member)
        elif shape.type_name == "map":
            for member in value.values():
                self.compare(f"{path}{{}}", shape.value, member)
        elif getattr(shape, "enum", None):
            self.assertIn(value, shape.enum, path)

    def complete(self, operation, without=None):
        pool = {"UserPoolId": self.sandbox.user_pool_id, "ClientId": self.sandbox.client_id, "Token": "x"}
        members = self.model.operation_model(operation).input_shape.members
        known = {**COMPLETE, **pool}
        if operation in CREATING:
            known.update({name: f"made-by-{operation}" for name in ("Username", "GroupName")})
        return {name: known[name] for name in members if name in known and name != without}

    def sent_code(self):
        return re.findall(r"code (\S+) sent to", self.sandbox.output())[-1]

    def client(self, **members):
        return {"ClientId": self.sandbox.client_id, **members}

    def pool(self, **members):
        return {"UserPoolId": self.sandbox.user_pool_id, **members}

    def test_a_missing_member_is_named(self):
        for operation in OPERATIONS:
            required = self.model.operation_model(operation).input_shape.required_members
            for name in required:
                with self.subTest(operation=operation, member=name):
                    code, message = self.call(operation, **self.complete(operation, without=name))
                    camel = name[0].lower() + name[1:]
                    self.assertEqual(code, "InvalidParameterException")
                    self.assertEqual(
                        message,
                        f"1 validation error detected: Value null at '{camel}' failed to satisfy constraint: "
                        "Member must not be null",
                    )

    def test_a_complete_request_about_an_unknown_user_gets_an_error_of_the_model(self):
        for operation in OPERATIONS:
            with self.subTest(operation=operation):
                outcome = self.call(operation, **self.complete(operation))
                self.assertEqual(isinstance(outcome, tuple), operation not in WITHOUT_AN_ERROR, outcome)

    def test_the_life_of_a_user(self):
        address = "mia@example.com"
        attributes = [{"Name": "email", "Value": address}]
        self.call("SignUp", **self.client(Username="mia", Password=PASSWORD, UserAttributes=attributes))
        self.call("ResendConfirmationCode", **self.client(Username="mia"))
        self.call("ConfirmSignUp", **self.client(Username="mia", ConfirmationCode=self.sent_code()))
        tokens = self.sign_in("mia", PASSWORD)
        own = {"AccessToken": tokens["AccessToken"]}

        self.call("GetUserAttributeVerificationCode", AttributeName="email", **own)
        self.call("VerifyUserAttribute", AttributeName="email", Code=self.sent_code(), **own)
        changes = [{"Name": "name", "Value": "Mia"}, {"Name": "email", "Value": "mia@new.example"}]
        changed = self.call("UpdateUserAttributes", UserAttributes=changes, **own)
        self.assertEqual(changed["CodeDeliveryDetailsList"][0]["AttributeName"], "email")
        self.call("VerifyUserAttribute", AttributeName="email", Code=self.sent_code(), **own)
        self.call("DeleteUserAttributes", UserAttributeNames=["name"], **own)
        self.call("ChangePassword", PreviousPassword=PASSWORD, ProposedPassword=NEW_PASSWORD, **own)

        secret = self.call("AssociateSoftwareToken", **own)["SecretCode"]
        self.call("VerifySoftwareToken", UserCode=totp(secret), **own)
        preference = {"Enabled": True, "PreferredMfa": True}
        self.call("SetUserMFAPreference", SoftwareTokenMfaSettings=preference, **own)
        self.assertEqual(self.call("GetUser", **own)["PreferredMfaSetting"], "SOFTWARE_TOKEN_MFA")
        self.call("GetUserAuthFactors", **own)
        challenge = self.initiate("mia", NEW_PASSWORD)
        self.assertEqual(challenge["ChallengeName"], "SOFTWARE_TOKEN_MFA")
        self.call("SetUserMFAPreference", SoftwareTokenMfaSettings={"Enabled": False}, **own)

        self.call("ListDevices", **own)
        self.call("ListWebAuthnCredentials", **own)
        refresh = self.client(RefreshToken=tokens["RefreshToken"])
        self.call("GetTokensFromRefreshToken", **refresh)
        self.call("RevokeToken", **self.client(Token=tokens["RefreshToken"]))
        code, _ = self.call("GetTokensFromRefreshToken", **refresh)
        self.assertEqual(code, "NotAuthorizedException")

        self.call("ForgotPassword", **self.client(Username="mia"))
        reset = self.client(Username="mia", ConfirmationCode=self.sent_code(), Password=PASSWORD)
        self.call("ConfirmForgotPassword", **reset)
        self.call("GlobalSignOut", AccessToken=self.sign_in("mia", PASSWORD)["AccessToken"])
        self.call("DeleteUser", AccessToken=self.sign_in("mia", PASSWORD)["AccessToken"])
        code, _ = self.call("AdminGetUser", **self.pool(Username="mia"))
        self.assertEqual(code, "UserNotFoundException")

    def test_what_an_administrator_does_to_a_user(self):
        attributes = [{"Name": "email", "Value": "zoe@example.com"}, {"Name": "email_verified", "Value": "true"}]
        zoe = self.pool(Username="zoe")
        self.call("AdminCreateUser", UserAttributes=attributes, TemporaryPassword=PASSWORD, **zoe)
        parameters = {"USERNAME": "zoe", "PASSWORD": PASSWORD}
        begin = self.client(AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters=parameters)
        challenge = self.call("AdminInitiateAuth", UserPoolId=self.sandbox.user_pool_id, **begin)
        self.assertEqual(challenge["ChallengeName"], "NEW_PASSWORD_REQUIRED")
        answer = self.client(
            ChallengeName="NEW_PASSWORD_REQUIRED",
            Session=challenge["Session"],
            ChallengeResponses={"USERNAME": "zoe", "NEW_PASSWORD": NEW_PASSWORD},
        )
        finished = self.call("AdminRespondToAuthChallenge", UserPoolId=self.sandbox.user_pool_id, **answer)
        self.assertIn("AuthenticationResult", finished)
        self.call("AdminUpdateUserAttributes", UserAttributes=[{"Name": "name", "Value": "Zoe"}], **zoe)
        self.call("CreateGroup", GroupName="readers", **self.pool())
        self.call("AdminAddUserToGroup", GroupName="readers", **zoe)
        self.assertEqual(self.call("AdminListGroupsForUser", **zoe)["Groups"][0]["GroupName"], "readers")
        self.call("AdminRemoveUserFromGroup", GroupName="readers", **zoe)
        self.call("AdminUserGlobalSignOut", **zoe)
        self.call("AdminDisableUser", **zoe)
        self.call("AdminEnableUser", **zoe)
        self.call("AdminResetUserPassword", **zoe)
        self.call("AdminSetUserPassword", Password=PASSWORD, Permanent=True, **zoe)
        self.assertEqual(self.call("AdminGetUser", **zoe)["UserStatus"], "CONFIRMED")
        listed = self.call("ListUsers", **self.pool(Filter='name = "Zoe"'))
        self.assertEqual([user["Username"] for user in listed["Users"]], ["zoe"])
        self.call("SignUp", **self.client(Username="una", Password=PASSWORD))
        self.call("AdminConfirmSignUp", **self.pool(Username="una"))
        self.call("AdminDeleteUser", **zoe)

    def initiate(self, username, password):
        parameters = {"USERNAME": username, "PASSWORD": password}
        return self.call("InitiateAuth", **self.client(AuthFlow="USER_PASSWORD_AUTH", AuthParameters=parameters))

    def sign_in(self, username, password):
        return self.initiate(username, password)["AuthenticationResult"]


if __name__ == "__main__":
    unittest.main()
