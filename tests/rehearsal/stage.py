"""What every rehearsal takes place on: the hosts, what runs on them, and the rules that hold whatever happens."""

import os
import secrets
import ssl
import subprocess
import time
import unittest

from application import HOST, Application, summary
from network import Host, Router
from program import SCRATCH, Sandbox, Sidecar
from relay import Relay
from service import Service

APPLICATION, SIDECAR = "10.91.1.2", "10.91.2.2"
API, API_MOVED, COGNITO = "10.91.3.2", "10.91.3.3", "10.91.3.4"
NAMES = {
    "api.rehearsal.test": API,
    "cognito-idp.rehearsal.test": COGNITO,
    "cognito-identity.rehearsal.test": COGNITO,
}
PORTS = {"api": 8443, "user_pool": 8444, "identity_pool": 8445}
# Short, so that credentials change in the midst of most rehearsals.
LIFETIME = 24
# For the errors to come soon enough, and still long enough for a slow machine.
TIMEOUTS = ("--connect-timeout", "2s", "--response-timeout", "5s", "--idle-timeout", "6s")
# Three connections and one answer, each at its timeout; or a wait for credentials; and a slow machine.
LONGEST = 40
BACK_WITHIN = 30


class Stage(unittest.TestCase):
    """A rehearsal: an application that asks all the time, and something that happens."""

    @classmethod
    def setUpClass(cls):
        if not hasattr(Stage, "router"):
            build(Stage)

    def setUp(self):
        self.sidecars = []
        self.applications = []
        self.sidecar_host.set_names(NAMES)

    def tearDown(self):
        for application in self.applications:
            application.stop()
        for sidecar in self.sidecars:
            sidecar.kill()

    def start_sidecar(self, port=8181):
        sidecar = Sidecar(self.sidecar_host, port, self.arguments, self.variables)
        self.sidecars.append(sidecar)
        sidecar.wait_until_ready()
        return sidecar

    def start_application(self, address=(SIDECAR, 8181), **workers):
        """An application to which nothing has happened yet."""
        started = time.monotonic()
        application = Application(self.application_host, address, self.token, **workers)
        self.applications.append(application)
        application.wait_for_answers(started)
        self.assertEqual(summary_of_errors(application), "")
        return application

    def conclude(self, application, allowed, figures):
        """Holds everything that the application saw against the rules, and says what that was."""
        application.stop()
        outcomes = application.outcomes()
        print(f"\n    {summary(outcomes)}; {figures}", flush=True)
        unexpected = {outcome.word for outcome in outcomes if not outcome.answered} - allowed
        self.assertEqual(unexpected, set(), "errors that nothing explains")
        executed = self.service.executed()
        orders = [outcome for outcome in outcomes if outcome.kind == "order"]
        self.assertEqual([order for order in orders if executed[order.name] > 1], [], "carried out twice")
        self.assertEqual([order for order in orders if order.answered and not executed[order.name]], [], "made up")
        self.assertEqual([late for late in outcomes if late.ended - late.started > LONGEST], [], "kept waiting")


def summary_of_errors(application):
    return ", ".join(outcome.word for outcome in application.outcomes() if not outcome.answered)


def build(stage):
    """Hosts, cables, AWS and the way to it; `run` takes it all down."""
    stage.router = Router()
    stage.application_host, stage.sidecar_host, stage.aws = Host("application"), Host("sidecar"), Host("aws")
    stage.router.join(stage.application_host, "application", "10.91.1.1", [APPLICATION])
    stage.router.join(stage.sidecar_host, "sidecar", "10.91.2.1", [SIDECAR])
    # The first address of an interface takes the others with it when it goes; Cognito's stays.
    stage.router.join(stage.aws, "aws", "10.91.3.1", [COGNITO, API])
    stage.service = Service(stage.aws)
    sandbox = Sandbox(stage.aws, stage.service.port, LIFETIME)
    certificate, key = make_certificate()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    stage.relays = {
        name: Relay(stage.aws, port, [("127.0.0.1", int(getattr(sandbox, name)))], tls)
        for name, port in PORTS.items()
    }
    stage.token = secrets.token_urlsafe(24)
    stage.arguments = sidecar_arguments(sandbox, certificate, stage.token)
    stage.variables = {
        "AWS_CA_BUNDLE": certificate,
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": f"https://cognito-idp.rehearsal.test:{PORTS['user_pool']}",
        "AWS_ENDPOINT_URL_COGNITO_IDENTITY": f"https://cognito-identity.rehearsal.test:{PORTS['identity_pool']}",
    }


def sidecar_arguments(sandbox, certificate, token):
    return [
        *("--upstream", f"https://api.rehearsal.test:{PORTS['api']}/prod", "--ca-file", certificate),
        *("--region", "eu-west-1", "--service", "execute-api"),
        *("--user-pool-id", sandbox.user_pool_id, "--client-id", sandbox.client_id),
        *("--identity-pool-id", sandbox.identity_pool_id),
        *("--username", sandbox.username, "--password-file", secret_file("password", sandbox.password)),
        *("--bearer-token-file", secret_file("token", token), "--allow-host", HOST),
        *TIMEOUTS,
    ]


def secret_file(name, text):
    path = os.path.join(SCRATCH, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write(text)
    return path


def make_certificate():
    """A certificate for all names, which vouches for itself."""
    certificate, key = os.path.join(SCRATCH, "tls.pem"), os.path.join(SCRATCH, "tls.key")
    names = ",".join(f"DNS:{name}" for name in NAMES)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=Rehearsal", "-keyout", key, "-out", certificate),
            *("-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key
