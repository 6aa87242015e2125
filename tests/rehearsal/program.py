"""The program under test on one of the hosts."""

import http.client
import os
import re
import signal
import subprocess
import time

BINARY = os.environ["COUNTERSIGN"]
SCRATCH = os.environ["REHEARSAL_SCRATCH"]
PATIENCE = 60


class Program:
    """A running command of the program, with nothing of the surrounding environment."""

    def __init__(self, host, name, arguments, variables=None):
        self._host = host
        self.log = os.path.join(SCRATCH, f"{name}.log")
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                host.command(BINARY, *arguments),
                env={"PATH": os.environ["PATH"], "XDG_STATE_HOME": SCRATCH, **(variables or {})},
                cwd=SCRATCH,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_for(self, words):
        deadline = time.monotonic() + PATIENCE
        while words not in self.output():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"{words!r} was not said:\n{self.output()}")
            time.sleep(0.05)

    def end(self, with_signal):
        """Sends a signal; the exit code, negative for the signal itself."""
        self._process.send_signal(with_signal)
        return self._process.wait(PATIENCE)


class Sandbox(Program):
    """AWS in one process, on the loopback of its host."""

    PATTERNS = {
        "username": r"  Signed in as +(\S+), password",
        "password": r"  Signed in as +\S+, password (\S+)",
        "user_pool_id": r"  User pool +\S+ +(\S+), client",
        "client_id": r"  User pool .*, client (\S+)",
        "user_pool": r"  User pool +http://127.0.0.1:(\d+)",
        "identity_pool_id": r"  Identity pool +\S+ +(\S+)",
        "identity_pool": r"  Identity pool +http://127.0.0.1:(\d+)",
        "api": r"  API +http://127.0.0.1:(\d+)/prod",
    }

    def __init__(self, host, backend, lifetime):
        addresses = ["--listen", "127.0.0.1:0", "--admin-listen", "off", "--port-base", "0"]
        addresses += ["--backend", f"http://127.0.0.1:{backend}"]
        super().__init__(host, "sandbox", ["sandbox", *addresses, "--credentials-lifetime", f"{lifetime}s"])
        self.wait_for("Press Ctrl-C")
        for name, pattern in self.PATTERNS.items():
            setattr(self, name, re.search(pattern, self.output())[1])


class Sidecar(Program):
    """The proxy, where other hosts reach it at `port`."""

    def __init__(self, host, port, arguments, variables):
        self.port, self._admin = port, port + 1
        listeners = ["--listen", f"0.0.0.0:{port}", "--admin-listen", f"127.0.0.1:{self._admin}"]
        self.started = time.monotonic()
        super().__init__(host, f"sidecar-{port}", ["serve", *listeners, *arguments], variables)

    def wait_until_ready(self):
        waiting = [BINARY, "wait", "--admin-listen", f"127.0.0.1:{self._admin}", "--max", f"{PATIENCE}s"]
        waited = subprocess.run(self._host.command(*waiting), capture_output=True, text=True, check=False)
        if waited.returncode != 0:
            raise AssertionError(f"{waited.stderr}\n{self.output()[-3000:]}")

    def kill(self):
        return self.end(signal.SIGKILL)

    def terminate(self):
        return self.end(signal.SIGTERM)

    def metric(self, name):
        """The value of a metric without labels."""
        text = self._admin_answer("/metrics").decode()
        return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])

    def _admin_answer(self, path):
        with self._host.visited():
            connection = http.client.HTTPConnection("127.0.0.1", self._admin, timeout=PATIENCE)
            connection.request("GET", path)
            answer = connection.getresponse().read()
            connection.close()
            return answer
