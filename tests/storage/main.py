"""Runs each fault at each moment, all at the same time, and says how long the proxy took to recover."""

import collections
import concurrent.futures
import contextlib
import json
import os
import sys
import time
import traceback
import urllib.error
import urllib.request

import cognito
import faults
from cognito import Cognito
from program import BINARY, Running, run

MOMENTS = ("sign-in", "rotation", "at-rest")
PATIENCE = 30
# Time to attach a tracer, while an answer is held back.
DELAY = 3
# Longer than credentials last, so that a refresh falls into the fault; longer than two of them, and than an attempt of
# the proxy to lock the session.
OUTAGE, LONG_OUTAGE = 11, 23
# These keep a new refresh token from being stored after it was issued: it is good in memory meanwhile.
KEPT_IN_MEMORY = ("read-only", "eio-fsync", "eio-rename")


class Cell(contextlib.ExitStack):
    """One fault at one moment, with a file system, a Cognito and a user of its own."""

    addCleanup = contextlib.ExitStack.callback

    def __init__(self, fault, moment):
        super().__init__()
        self.moment = moment
        self._fault = fault
        self.process = None
        self.state = os.path.join(os.environ["STORAGE_SCRATCH"], f"{fault}-{moment}")
        os.mkdir(self.state)
        faults.mount("-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs", self.state)
        self.folder = os.path.join(self.state, "countersign")
        self.lock = self.path("lock")
        self.cognito = Cognito(self)
        self.settings = {
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": self.cognito.url,
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY": self.cognito.url,
            "COUNTERSIGN_USER_POOL_ID": cognito.POOL_ID,
            "COUNTERSIGN_CLIENT_ID": cognito.CLIENT_ID,
            "COUNTERSIGN_IDENTITY_POOL_ID": cognito.IDENTITY_POOL_ID,
            "XDG_STATE_HOME": self.state,
        }

    def path(self, extension):
        return os.path.join(self.folder, f"{cognito.POOL_ID}@{cognito.CLIENT_ID}.{extension}")

    def wait(self, patience, condition, complaint):
        """Seconds until the condition holds."""
        start = time.monotonic()
        while not condition():
            if time.monotonic() > start + patience:
                raise AssertionError(complaint())
            time.sleep(0.05)
        return time.monotonic() - start

    def run(self):
        outage = self._sign_in() if self.moment == "sign-in" else self._serve()
        recovery = self.wait(PATIENCE, self._is_well, lambda: f"not well after {PATIENCE} s: {self._log()}")
        self.process.stop()
        # The session is on the disk, and the only one that there ever was.
        whoami = run(["whoami"], self.settings, "/")
        assert whoami.returncode == 0, whoami.stderr
        assert (self.cognito.sign_ins, self.cognito.lost) == (1, 0), (self.cognito.sign_ins, self.cognito.lost)
        return f"{outage}, well after {recovery:.1f} s"

    def _sign_in(self):
        settings = {"COUNTERSIGN_USERNAME": "demo", "COUNTERSIGN_PASSWORD": "x", "COUNTERSIGN_AUTH_FLOW": "password"}
        self.cognito.delay("InitiateAuth", DELAY)
        self.process = Running(self, [BINARY, "login"], {**self.settings, **settings}, "/")
        self.cognito.wait_until_asked("InitiateAuth", PATIENCE)
        with self._fault_now():
            time.sleep(2 * DELAY)
        assert self.process.exit_code() == 0, self.process.output()
        # A folder that is gone is made anew, and a lock is waited for.
        if self._fault not in ("deleted-folder", "held-lock"):
            assert "the session cannot be stored yet" in self.process.output(), self.process.output()
        self._start_proxy()
        return "signed in"

    def _serve(self):
        settings = {"COUNTERSIGN_USERNAME": "demo", "COUNTERSIGN_PASSWORD": "x", "COUNTERSIGN_AUTH_FLOW": "password"}
        login = run(["login"], {**self.settings, **settings}, "/")
        assert login.returncode == 0, login.stderr
        self._start_proxy()
        self.wait(PATIENCE, self._is_well, self._log)
        rotations = self.cognito.rotations
        if self.moment == "rotation":
            self.cognito.delay("GetTokensFromRefreshToken", DELAY)
        self.cognito.wait_for_rotation(rotations, PATIENCE)
        if self.moment == "at-rest":
            self.wait(PATIENCE, self._is_stored, self._log)
        is_kept_in_memory = self.moment == "rotation" and self._fault in KEPT_IN_MEMORY
        is_told_of_lock = self.moment == "at-rest" and self._fault == "held-lock"
        with self._fault_now():
            served, asked = self._ask_for(LONG_OUTAGE if is_kept_in_memory or is_told_of_lock else OUTAGE)
        if is_kept_in_memory:
            assert served == asked, f"served {served} of {asked}: {self._log()}"
        if is_told_of_lock:
            words = f"process {os.getpid()} holds the session lock {self.lock}; trying again"
            assert words in self._log(), self._log()
        return f"served {served} of {asked} meanwhile"

    def _ask_for(self, seconds):
        end = time.monotonic() + seconds
        statuses = []
        while time.monotonic() < end:
            statuses.append(self._ask())
            time.sleep(0.5)
        return statuses.count(200), len(statuses)

    def _fault_now(self):
        return {**faults.BY_MOUNTS, **faults.BY_STRACE}[self._fault](self)

    def _start_proxy(self):
        settings = {
            "COUNTERSIGN_LISTEN": "127.0.0.1:0",
            "COUNTERSIGN_ADMIN_LISTEN": "off",
            "COUNTERSIGN_UPSTREAM": self.cognito.url,
            "COUNTERSIGN_REGION": "eu-west-1",
            "COUNTERSIGN_SERVICE": "execute-api",
            "COUNTERSIGN_LOG_FORMAT": "json",
            "COUNTERSIGN_LOG_LEVEL": "info,countersign=debug",
        }
        self.process = Running(self, [BINARY, "serve"], {**self.settings, **settings}, "/")
        self._url = json.loads(self.process.wait_for('"message":"starting"'))["url"]

    def _ask(self):
        try:
            with urllib.request.urlopen(self._url, timeout=15) as response:
                return response.status
        except urllib.error.HTTPError as refusal:
            return refusal.code

    def _is_well(self):
        return self._ask() == 200 and self._is_stored()

    def _is_stored(self):
        try:
            with open(self.path("json"), encoding="utf-8") as file:
                return json.load(file)["refresh_token"] == self.cognito.refresh_token
        except (OSError, ValueError):
            return False

    def _log(self):
        lines = self.process.output().splitlines()
        return "\n".join(line for line in lines if '"aborted"' not in line and '"origin"' not in line)


def try_out(name, tracing_fails):
    fault, moment = name.split("/")
    if fault in faults.BY_STRACE and tracing_fails:
        return "SKIPPED", tracing_fails
    try:
        with Cell(fault, moment) as cell:
            return "ok", cell.run()
    except Exception:
        return "FAILED", traceback.format_exc()


def main(wanted):
    names = [f"{fault}/{moment}" for fault in [*faults.BY_MOUNTS, *faults.BY_STRACE] for moment in MOMENTS]
    if wanted:
        names = [name for name in names if name in wanted or name.split("/")[0] in wanted]
    outcomes = collections.Counter()
    tracing_fails = faults.tracing_fails()
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        for name, (outcome, words) in zip(names, pool.map(lambda name: try_out(name, tracing_fails), names)):
            outcomes[outcome] += 1
            print(f"{name:<24} {outcome}: {words}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()), flush=True)
    return 1 if outcomes["FAILED"] or not names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
