"""What the inspector exports is an HTTP Archive by the schema that other tools validate with."""

import json
import os
import subprocess
import unittest
import urllib.error
import urllib.request

from program import PATIENCE, Sandbox

VALIDATE = """
const { har } = require("har-validator");
const text = require("fs").readFileSync(0, "utf8");
har(JSON.parse(text)).then(
  () => console.log("valid"),
  (error) => { console.log(JSON.stringify(error.errors ?? error.message)); process.exit(1); },
);
"""


def ask(url, method="GET", headers=None, body=None):
    request = urllib.request.Request(url, method=method, headers=headers or {}, data=body)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()
    except urllib.error.HTTPError as refused:
        return refused.read()


class HarOfInspector(unittest.TestCase):
    def test_every_kind_of_exchange_is_valid(self):
        sandbox = Sandbox(self)
        ask(f"{sandbox.url}/one?a=b&token=secret&c[]={{d}}")
        ask(f"{sandbox.url}/two", "POST", {"content-type": "application/json"}, b'{"password":"secret"}')
        ask(f"{sandbox.url}/three", headers={"origin": "https://evil.test"})
        ask(f"{sandbox.url}/status/404", headers={"cookie": "a=secret"})
        token = json.loads(ask(f"{sandbox.admin}/inspect/token", "POST"))["token"]
        har = ask(f"{sandbox.admin}/inspect/har", headers={"authorization": f"Bearer {token}"})
        entries = json.loads(har)["log"]["entries"]
        self.assertGreaterEqual(len(entries), 4)
        self.assertNotIn(b"secret", har)
        validated = subprocess.run(
            ["node", "-e", VALIDATE],
            input=har,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env={"PATH": os.environ["PATH"], "NODE_PATH": os.environ["NODE_PATH"]},
        )
        self.assertEqual(validated.stdout.decode().strip(), "valid", validated.stderr.decode())
