"""Third-party HTTP clients. Each function sends a list of tries and returns what the client saw of each answer."""

import dataclasses
import json
import os
import subprocess
import tempfile
import urllib.error
import urllib.request

FOLDER = os.path.dirname(os.path.abspath(__file__))
PIECE = bytes(65_536)
# The longest that one try may take, and the longest that all tries of one sender may take, in seconds.
LONGEST, LONGEST_OF_ALL = 10, 100


@dataclasses.dataclass(frozen=True)
class Try:
    """A POST of `size` bytes whose answer should be `expected`, such as `413 body-too-large`."""

    url: str
    size: int
    chunked: bool
    headers: tuple
    expected: str

    @property
    def framing(self):
        return "chunked" if self.chunked else "length"

    def line(self):
        fields = [f"{name}: {value}" for name, value in self.headers]
        return "\t".join([self.url, str(self.size), self.framing, *fields]) + "\n"


def python(tries):
    return [answer_to_python(one) for one in tries]


def answer_to_python(one):
    # urllib sends a body of unknown length in chunks.
    body = pieces(one.size) if one.chunked else bytes(one.size)
    request = urllib.request.Request(one.url, body, dict(one.headers), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=LONGEST) as answer:
            return f"{answer.status} -"
    except urllib.error.HTTPError as refusal:
        with refusal:
            return described(refusal.code, refusal.read())
    except OSError as error:
        return repr(getattr(error, "reason", error))


def curl(tries):
    with tempfile.TemporaryDirectory() as folder:
        return [answer_to_curl(one, body_file(folder, one.size)) for one in tries]


def answer_to_curl(one, body):
    # Without `Expect: 100-continue`, which would keep curl from sending the body at all.
    headers = [*one.headers, ("expect", "")]
    if one.chunked:
        headers.append(("transfer-encoding", "chunked"))
    ended = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--max-time", str(LONGEST), "--write-out", "\n%{http_code}"),
            *(part for name, value in headers for part in ("--header", f"{name}: {value}".strip())),
            *("--data-binary", f"@{body}", one.url),
        ],
        capture_output=True,
        check=False,
    )
    problem, _, status = ended.stdout.rpartition(b"\n")
    if ended.returncode:
        return ended.stderr.decode().strip()
    return described(int(status), problem)


def node_fetch(tries):
    return by_program(["node", os.path.join(FOLDER, "send.mjs"), "fetch"], tries)


def node_http(tries):
    return by_program(["node", os.path.join(FOLDER, "send.mjs"), "http"], tries)


def java(tries):
    # HttpURLConnection ignores `Host` and `Origin` without this property.
    allowed = "-Dsun.net.http.allowRestrictedHeaders=true"
    return by_program(["java", allowed, os.path.join(FOLDER, "Send.java")], tries)


def by_program(command, tries):
    ended = subprocess.run(
        command,
        input="".join(one.line() for one in tries),
        capture_output=True,
        text=True,
        timeout=LONGEST_OF_ALL,
        check=False,
    )
    answers = ended.stdout.splitlines()
    if len(answers) != len(tries):
        raise AssertionError(f"{command} gave {len(answers)} answers to {len(tries)} tries:\n{ended.stderr}")
    return answers


def described(status, problem):
    try:
        return f"{status} {json.loads(problem)['code']}"
    except (ValueError, KeyError):
        return f"{status} {problem[:80]!r}"


def pieces(size):
    for start in range(0, size, len(PIECE)):
        yield PIECE[:size - start]


def body_file(folder, size):
    path = os.path.join(folder, str(size))
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.truncate(size)
    return path
