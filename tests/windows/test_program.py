"""The program for Windows, as people use it, under wine; the requests come from outside."""

import os
import pty
import re
import select
import subprocess
import tempfile
import termios
import time
import tomllib
import unittest
import urllib.error
import urllib.request
from pathlib import Path

EXE = os.environ["PROGRAM"]
SCRATCH = Path(os.environ["SCRATCH"])
LOCAL = "drive_c/users/*/AppData/Local"
MAX_SECONDS = 60


def run(*arguments, folder, **variables):
    """What a command prints and how it ends."""
    return subprocess.run(
        ["wine", EXE, *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
        check=False,
    )


def windows_path(path):
    """What a program for Windows calls `path`."""
    found = subprocess.run(["winepath", "-w", path], capture_output=True, text=True, timeout=MAX_SECONDS, check=True)
    return found.stdout.strip()


def get(url, method="GET"):
    """Status and body."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=MAX_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Console:
    """A program in a console: what it shows, and what is typed."""

    def __init__(self, *arguments, folder, program=EXE):
        self.shown = ""
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            # The terminal itself, which is not the console that the program knows, must not show what is typed.
            attributes = termios.tcgetattr(0)
            attributes[3] &= ~termios.ECHO
            termios.tcsetattr(0, termios.TCSANOW, attributes)
            os.execvp("wine", ["wine", program, *arguments])

    def read_until(self, text):
        deadline = time.monotonic() + MAX_SECONDS
        while text is None or text not in self.shown:
            ready, _, _ = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{text!r} is not shown within {MAX_SECONDS} s: {self.shown}")
            try:
                read = os.read(self.terminal, 65536)
            except OSError:
                read = b""
            if not read:
                if text is None:
                    return
                raise AssertionError(f"{text!r} is not shown: {self.shown}")
            self.shown += read.decode(errors="replace")

    def type(self, keys):
        os.write(self.terminal, keys)

    def end(self):
        """The exit code."""
        self.read_until(None)
        _, status = os.waitpid(self.process, 0)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)


class Sandbox(unittest.TestCase):
    """A sandbox that has written the files by which the other commands find it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(dir=SCRATCH))
        cls.start()
        cls.proxy = re.search(r"Proxy +(http://\S+)", cls.printed)[1]
        cls.admin = re.search(r"Inspector +(http://[^/]+)", cls.printed)[1]

    @classmethod
    def start(cls):
        arguments = ["--listen", "localhost:0", "--admin-listen", "localhost:0", "--port-base", "0", "--write", "."]
        with (cls.folder / "log").open("w") as log:
            cls.process = subprocess.Popen(
                ["wine", EXE, "sandbox", *arguments],
                cwd=cls.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        cls.printed = ""
        for line in cls.process.stdout:
            cls.printed += line
            if "Ctrl-C" in line:
                return
        code = cls.process.wait(MAX_SECONDS)
        cls.process.stdout.close()
        raise AssertionError(f"the sandbox ended with {code}: {cls.printed}{cls.logged()}")

    @classmethod
    def tearDownClass(cls):
        if cls.process.poll() is None:
            get(f"{cls.admin}/quitquitquit", "POST")
        cls.process.wait(MAX_SECONDS)
        cls.process.stdout.close()

    @classmethod
    def logged(cls):
        return (cls.folder / "log").read_text()


class Calls(Sandbox):
    def test_a_request_is_signed(self):
        status, body = get(f"{self.proxy}/hello?name=wine")
        self.assertEqual(status, 200)
        self.assertIn('"cognitoIdentityId": "eu-west-1:', body)

    def test_the_line_to_try_has_the_quotes_that_cmd_knows(self):
        self.assertIn(f'curl "{self.proxy}/hello?name=world"', self.printed)

    def test_a_line_at_the_start_says_that_users_are_not_told_apart(self):
        self.assertIn("does not say which user a connection belongs to", self.logged())

    def test_pages_of_other_sites_are_refused_as_on_other_systems(self):
        request = urllib.request.Request(f"{self.proxy}/hello", headers={"Origin": "https://evil.example"})
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=MAX_SECONDS)
        self.assertEqual(refused.exception.code, 403)
        refused.exception.close()

    def test_operators_on_this_machine_may_ask_for_the_status(self):
        status, body = get(f"{self.admin}/status")
        self.assertEqual(status, 200, body)

    def test_healthcheck_says_whether_the_proxy_is_ready(self):
        listen = self.admin.removeprefix("http://")
        self.assertEqual(run("healthcheck", "--admin-listen", listen, folder=self.folder).returncode, 0)
        self.assertEqual(run("healthcheck", "--admin-listen", "localhost:1", folder=self.folder).returncode, 1)

    def test_another_program_on_the_port_is_named_as_the_cause(self):
        listen = self.proxy.removeprefix("http://")
        ended = run("serve", "--listen", listen, "--admin-listen", "off", folder=self.folder)
        self.assertEqual(ended.returncode, 1, ended.stderr)
        self.assertIn(f"cannot listen on {listen}", ended.stderr)


class Sessions(Sandbox):
    """Sessions in %LOCALAPPDATA%."""

    def settings_without_password(self):
        """A folder with settings that leave the password to the person."""
        folder = Path(tempfile.mkdtemp(dir=SCRATCH))
        lines = (self.folder / "countersign.toml").read_text().splitlines(keepends=True)
        (folder / "countersign.toml").write_text("".join(line for line in lines if not line.startswith("password-file")))
        return folder

    def password(self):
        named = tomllib.loads((self.folder / "countersign.toml").read_text())["password-file"]
        return (self.folder / named).read_text().strip()

    def stored(self):
        (session,) = Path(os.environ["WINEPREFIX"]).glob(f"{LOCAL}/countersign/*.json")
        return session

    def test_a_session_is_stored_for_this_user_alone_and_read_again(self):
        folder = self.settings_without_password()
        console = Console("login", folder=folder)
        console.read_until("Password:")
        console.type(self.password().encode() + b"\r")
        self.assertEqual(console.end(), 0, console.shown)
        self.assertNotIn(self.password(), console.shown)

        session = self.stored()
        # Full access of the owner, which std's way to create a file does not give; and none for the others.
        self.assertEqual(session.stat().st_mode & 0o707, 0o700)
        ended = run("whoami", folder=folder)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended)
        self.assertRegex(ended.stdout, r"user +demo")
        called = run("call", "GET", "/hello", folder=folder)
        self.assertEqual(called.returncode, 0, called.stderr)

        session.chmod(0o644)
        refused = run("whoami", folder=folder)
        self.assertEqual(refused.returncode, 1, refused)
        self.assertIn("others may read the session", refused.stderr)
        self.assertIn("icacls", refused.stderr)
        session.chmod(0o700)

        self.assertEqual(run("logout", folder=folder).returncode, 0)
        self.assertFalse(session.exists())

    def test_without_a_console_the_settings_are_named(self):
        ended = run("login", folder=self.settings_without_password())
        self.assertEqual(ended.returncode, 1)
        self.assertIn("COUNTERSIGN_PASSWORD", ended.stderr)


class Exec(Sandbox):
    def exec(self, *program, **variables):
        return run("exec", "--log-level", "warn", "--", *program, folder=self.folder, **variables)

    def test_the_program_gets_the_url_and_its_exit_code_is_passed_on(self):
        ended = self.exec("cmd", "/c", "echo %COUNTERSIGN_URL%& exit 7")
        self.assertEqual(ended.returncode, 7, ended.stderr)
        self.assertRegex(ended.stdout, r"http://localhost:\d+")

    def test_exit_codes_of_32_bits_are_passed_on(self):
        """Read by a script: outside of wine, an exit code has eight bits."""
        for code in [1000, -1073741510]:
            self.assertEqual(self.code_in_a_script("cmd", "/c", "exit", str(code)), code)

    def code_in_a_script(self, *program):
        words = " ".join(["exec", "--log-level", "warn", "--", *program])
        (self.folder / "code.cmd").write_text(f'@"{windows_path(EXE)}" {words}\r\n@echo code %errorlevel%.\r\n')
        console = Console("/c", "code.cmd", program="cmd", folder=self.folder)
        console.end()
        found = re.search(r"code (-?\d+)\.", console.shown)
        self.assertIsNotNone(found, console.shown)
        return int(found[1])

    def test_scripts_are_found_as_a_shell_finds_them(self):
        (self.folder / "tool.cmd").write_text("@echo off\r\necho tool says %1\r\nexit /b 3\r\n")
        ended = self.exec("tool", "hello", WINEPATH=windows_path(self.folder))
        self.assertEqual(ended.returncode, 3, ended.stderr)
        self.assertIn("tool says hello", ended.stdout)

    def test_a_program_that_does_not_exist_is_127(self):
        ended = self.exec("no-such-program")
        self.assertEqual(ended.returncode, 127, ended.stderr)


class Ends(unittest.TestCase):
    def start(self):
        folder = tempfile.mkdtemp(dir=SCRATCH)
        arguments = ["--listen", "localhost:0", "--admin-listen", "localhost:0", "--port-base", "0"]
        console = Console("sandbox", *arguments, folder=folder)
        console.read_until("Press Ctrl-C")
        return console

    def test_ctrl_c_ends_the_sandbox_with_130(self):
        console = self.start()
        console.type(b"\x03")
        self.assertEqual(console.end(), 130, console.shown)

    def test_a_request_to_quit_ends_it_with_0(self):
        console = self.start()
        admin = re.search(r"Inspector +(http://[^/]+)", console.shown)[1]
        self.assertEqual(get(f"{admin}/quitquitquit", "POST")[0], 200)
        self.assertEqual(console.end(), 0, console.shown)


class Settings(unittest.TestCase):
    REQUIRED = ("--upstream", "https://api.example.com/prod", "--user-pool-id", "eu-west-1_AbCdEf123", "--client-id",
                "1example23456789", "--identity-pool-id", "eu-west-1:01234567-89ab-cdef-0123-456789abcdef",
                "--service", "execute-api", "--region", "eu-west-1")  # fmt: skip

    def check(self, *arguments, **variables):
        return run("check", *self.REQUIRED, *arguments, folder=tempfile.mkdtemp(dir=SCRATCH), **variables)

    def test_check_says_what_windows_lacks(self):
        ended = self.check()
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn("This system (windows):", ended.stdout)
        for lacking in ["which user", "unix sockets", "SIGHUP", "systemd"]:
            self.assertIn(lacking, ended.stdout)

    def test_a_unix_socket_is_a_mistake_that_says_so(self):
        ended = self.check("--listen", "unix:/run/countersign.sock")
        self.assertEqual(ended.returncode, 64)
        self.assertIn("this system has no unix sockets", ended.stderr)

    def test_variables_are_found_in_any_case_as_windows_has_them(self):
        ended = self.check(countersign_listen="localhost:4321")
        self.assertIn("localhost:4321", ended.stdout, ended.stderr)

    def test_the_users_file_is_in_appdata(self):
        (roaming,) = Path(os.environ["WINEPREFIX"]).glob("drive_c/users/*/AppData/Roaming")
        file = roaming / "countersign/config.toml"
        file.parent.mkdir()
        self.addCleanup(file.parent.rmdir)
        file.write_text('listen = "localhost:4322"\n')
        self.addCleanup(file.unlink)
        ended = self.check()
        self.assertIn("localhost:4322", ended.stdout, ended.stderr)


if __name__ == "__main__":
    unittest.main()
