"""A user pool, an identity pool and an API with IAM authorisation at ministack, which is not ours."""

import json
import os

import boto3

from program import Running, free_port, totp

REGION = "eu-west-1"
PASSWORD = "Ministack-password-1"


class Ministack:
    """ministack with its signature checks on, for as long as a test class runs."""

    def __init__(self, test_class):
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        settings = {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": self.endpoint.rsplit(":", 1)[1],
            "IOT_MTLS_ENABLED": "0",
        }
        program = os.path.join(os.environ["VIRTUAL_ENV"], "bin", "ministack")
        Running(test_class, [program], settings).wait_for("Running on")
        self._cognito = self.client("cognito-idp")
        self.user_pool_id = self._cognito.create_user_pool(PoolName="people")["UserPool"]["Id"]
        self.public_client_id, _ = self._create_client("public", False)
        self.confidential_client_id, self.client_secret = self._create_client("confidential", True)
        self.identity_pool_id = self._create_identity_pool()
        self.api_url = self._create_api()

    def client(self, service):
        """A client with the rights of an administrator."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def settings(self):
        """The program's settings, save for the user's."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "COUNTERSIGN_UPSTREAM": self.api_url,
            "COUNTERSIGN_REGION": REGION,
            "COUNTERSIGN_SERVICE": "execute-api",
            "COUNTERSIGN_USER_POOL_ID": self.user_pool_id,
            "COUNTERSIGN_CLIENT_ID": self.public_client_id,
            "COUNTERSIGN_IDENTITY_POOL_ID": self.identity_pool_id,
        }

    def create_user(self, username, permanent=True):
        self._cognito.admin_create_user(
            UserPoolId=self.user_pool_id,
            Username=username,
            TemporaryPassword=PASSWORD,
            MessageAction="SUPPRESS",
        )
        if permanent:
            self._cognito.admin_set_user_password(
                UserPoolId=self.user_pool_id, Username=username, Password=PASSWORD, Permanent=True
            )

    def add_authenticator(self, username):
        """Sets up an authenticator for `username` and makes it their second factor; its secret."""
        tokens = self._cognito.initiate_auth(
            ClientId=self.public_client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": username, "PASSWORD": PASSWORD},
        )["AuthenticationResult"]
        access_token = tokens["AccessToken"]
        secret = self._cognito.associate_software_token(AccessToken=access_token)["SecretCode"]
        # The code of the step before, so that the present one is unused when somebody signs in.
        self._cognito.verify_software_token(AccessToken=access_token, UserCode=totp(secret, -1))
        self._cognito.set_user_mfa_preference(
            AccessToken=access_token, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
        )
        return secret

    def allow_authenticators(self):
        """Lets users have an authenticator as their second factor."""
        self._cognito.set_user_pool_mfa_config(
            UserPoolId=self.user_pool_id,
            SoftwareTokenMfaConfiguration={"Enabled": True},
            MfaConfiguration="OPTIONAL",
        )

    def issue_credentials(self, username):
        """Temporary credentials of `username`, by boto3's own way to them."""
        tokens = self._cognito.initiate_auth(
            ClientId=self.public_client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": username, "PASSWORD": PASSWORD},
        )["AuthenticationResult"]
        logins = {f"cognito-idp.{REGION}.amazonaws.com/{self.user_pool_id}": tokens["IdToken"]}
        identity = self.client("cognito-identity")
        identity_id = identity.get_id(IdentityPoolId=self.identity_pool_id, Logins=logins)["IdentityId"]
        return identity.get_credentials_for_identity(IdentityId=identity_id, Logins=logins)["Credentials"]

    def _create_client(self, name, has_secret):
        created = self._cognito.create_user_pool_client(
            UserPoolId=self.user_pool_id,
            ClientName=name,
            GenerateSecret=has_secret,
            ExplicitAuthFlows=["ALLOW_USER_SRP_AUTH", "ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        )["UserPoolClient"]
        return created["ClientId"], created.get("ClientSecret")

    def _create_identity_pool(self):
        identity = self.client("cognito-identity")
        provider = f"cognito-idp.{REGION}.amazonaws.com/{self.user_pool_id}"
        pool_id = identity.create_identity_pool(
            IdentityPoolName="people",
            AllowUnauthenticatedIdentities=False,
            CognitoIdentityProviders=[
                {"ProviderName": provider, "ClientId": client_id}
                for client_id in (self.public_client_id, self.confidential_client_id)
            ],
        )["IdentityPoolId"]
        identity.set_identity_pool_roles(
            IdentityPoolId=pool_id, Roles={"authenticated": self._create_role(pool_id)}
        )
        return pool_id

    def _create_role(self, identity_pool_id):
        iam = self.client("iam")
        trust = {
            "Effect": "Allow",
            "Principal": {"Federated": "cognito-identity.amazonaws.com"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {"cognito-identity.amazonaws.com:aud": identity_pool_id}},
        }
        invoke = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
        arn = iam.create_role(RoleName="people", AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName="people", PolicyName="invoke", PolicyDocument=policy(invoke))
        return arn

    def _create_api(self):
        """The URL of a REST API that answers 200 with `{"hello":"signed"}`, to signed requests alone."""
        gateway = self.client("apigateway")
        api_id = gateway.create_rest_api(name="hello")["id"]
        root = gateway.get_resources(restApiId=api_id)["items"][0]["id"]
        hello = gateway.create_resource(restApiId=api_id, parentId=root, pathPart="hello")["id"]
        method = {"restApiId": api_id, "resourceId": hello, "httpMethod": "GET"}
        gateway.put_method(authorizationType="AWS_IAM", **method)
        gateway.put_integration(
            type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}, **method
        )
        gateway.put_method_response(statusCode="200", **method)
        gateway.put_integration_response(
            statusCode="200", responseTemplates={"application/json": '{"hello":"signed"}'}, **method
        )
        gateway.create_deployment(restApiId=api_id, stageName="prod")
        return f"{self.endpoint}/_aws/execute-api/{api_id}/prod"


def policy(statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
