"""The program under test, its sandbox, other programs beside it, and a person at a terminal."""

import atexit
import base64
import hashlib
import hmac
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import time

BINARY = os.environ["COUNTERSIGN"]
PATIENCE = 30


def clean_environment(settings):
    """Nothing of the surrounding environment but the way to programs."""
    return {"PATH": os.environ["PATH"], **settings}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def totp(secret, step=0):
    """The code of an authenticator, RFC 6238; `step` counts from the present one."""
    moment = struct.pack(">Q", int(time.time()) // 30 + step)
    digest = hmac.new(base64.b32decode(secret + "=" * (-len(secret) % 8)), moment, hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start:start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def run(arguments, settings, folder):
    """Runs a command of the program to its end."""
    return subprocess.run(
        [BINARY, *arguments],
        env=clean_environment(settings),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        start_new_session=True,
        check=False,
    )


class Running:
    """A program that runs until the test is over, as this user or as the one whose id is `user`."""

    def __init__(self, test, arguments, settings, folder=None, user=None):
        self._output = tempfile.TemporaryFile("w+")
        identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self._process = subprocess.Popen(
            arguments,
            env=clean_environment(settings),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **identity,
        )
        self.pid = self._process.pid
        add_cleanup = getattr(test, "addClassCleanup" if isinstance(test, type) else "addCleanup")
        add_cleanup(self.stop)
        # An interrupt skips what tests clean up.
        atexit.register(self.stop)

    def output(self):
        return os.pread(self._output.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_for(self, words):
        """The first whole line with `words` in it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            lines = self.output().splitlines(keepends=True)
            for line in lines:
                if words in line and line.endswith("\n"):
                    return line.strip()
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{words!r} was not said:\n{self.output()}")

    def is_running(self):
        return self._process.poll() is None

    def exit_code(self):
        """Waits for the program to end by itself."""
        return self._process.wait(PATIENCE)

    def stop(self):
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()


class Sandbox(Running):
    """`countersign sandbox`, with what it prints about itself as attributes."""

    INTRODUCTION = {
        "url": r"  Proxy +(\S+)",
        "username": r"  Signed in as +(\S+), password",
        "password": r"  Signed in as +\S+, password (\S+)",
        "user_pool_id": r"  User pool +\S+ +(\S+), client",
        "client_id": r"  User pool .*, client (\S+)",
        "user_pool": r"  User pool +(\S+)",
        "identity_pool_id": r"  Identity pool +\S+ +(\S+)",
        "identity_pool": r"  Identity pool +(\S+)",
        "api": r"  API +(http\S+)",
    }

    def __init__(self, test, *flags, binary=BINARY, settings=None, user=None):
        addresses = {"COUNTERSIGN_LISTEN": "localhost:0", "COUNTERSIGN_ADMIN_LISTEN": "localhost:0"}
        addresses["COUNTERSIGN_PORT_BASE"] = "0"
        settings = {"COUNTERSIGN_LOG_FORMAT": "json", **addresses, **(settings or {})}
        super().__init__(test, [binary, "sandbox", *flags], settings, user=user)
        self.wait_for("Press Ctrl-C")
        for name, pattern in self.INTRODUCTION.items():
            setattr(self, name, re.search(pattern, self.output())[1])
        self.admin = json.loads(self.wait_for('"message":"ready"'))["admin"]

    def settings(self, state):
        """The variables with which other commands sign in here; they keep their session in the folder `state`."""
        return {
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": self.user_pool,
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY": self.identity_pool,
            "COUNTERSIGN_USER_POOL_ID": self.user_pool_id,
            "COUNTERSIGN_CLIENT_ID": self.client_id,
            "COUNTERSIGN_IDENTITY_POOL_ID": self.identity_pool_id,
            "XDG_STATE_HOME": state,
        }


class Person:
    """Somebody at a terminal in which a command of the program runs."""

    def __init__(self, test, arguments, settings, folder):
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.chdir(folder)
            os.execve(BINARY, [BINARY, *arguments], clean_environment(settings))
        self._seen = 0
        self._code = None
        self.screen = ""
        test.addCleanup(self._leave)

    def read_until(self, words):
        """Reads on until `words` are on the screen; gives what is new on it."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.screen[self._seen:]:
            if not self._read(deadline):
                raise AssertionError(f"{words!r} was not shown:\n{self.screen}")
        fresh = self.screen[self._seen:]
        self._seen = len(self.screen)
        return fresh

    def type(self, line):
        os.write(self._terminal, f"{line}\n".encode())

    def answer(self, prompt, line):
        """Types `line` once `prompt` is shown and the terminal takes it."""
        shown = self.read_until(prompt)
        if prompt.lower().startswith(("password", "new password", "once more")):
            self._wait_for_hidden_input()
        self.type(line)
        return shown

    def exit_code(self):
        """Reads to the end, and waits for it."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        if self._code is None:
            _, status = os.waitpid(self._process, 0)
            self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def _wait_for_hidden_input(self):
        deadline = time.monotonic() + PATIENCE
        while termios.tcgetattr(self._terminal)[3] & termios.ECHO:
            if time.monotonic() > deadline:
                raise AssertionError(f"a password would be seen:\n{self.screen}")
            time.sleep(0.01)

    def _read(self, deadline):
        ready, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
        try:
            read = os.read(self._terminal, 4096) if ready else b""
        except OSError:
            # Linux says so when the last program of a terminal has ended.
            read = b""
        self.screen += read.decode(errors="replace")
        return bool(read)

    def _leave(self):
        if self._code is None:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        os.close(self._terminal)
