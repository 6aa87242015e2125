"""Each recipe of docs/dev-servers.md: a dev server in front of the sandbox, used as a browser uses it."""

import getpass
import gzip
import http.client
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time
import unittest

import recipes
from program import BINARY, Running, free_port

INSTALLED = pathlib.Path(os.environ["DEV_SERVERS"])
MAX_START = 60
EVENTS = 5
INTERVAL = 0.2


class DevServer(Running):
    """A dev server, whose own children end with it."""

    def stop(self):
        if self.is_running():
            os.killpg(self.pid, signal.SIGKILL)
            self.exit_code()
        self._output.close()


class Recipe:
    """What every recipe must do; a class below says how its server starts."""

    heading = None
    # Files beside those of the recipe, without which the tool does not start.
    files = {}

    def command(self, port):
        raise NotImplementedError

    def environment(self):
        return {}

    def program(self):
        """The program that the recipe needs and this machine may lack."""
        return "node"

    def setUp(self):
        if not shutil.which(self.program()):
            print("SKIPPED", end=" ", flush=True)
            self.skipTest(f"{self.program()} is missing")
        self.port = free_port()
        arguments = ["--listen", "localhost:0", "--admin-listen", "off", "--port-base", "0", "--log-format", "json"]
        arguments += recipes.flags(self.heading, self.port)
        sandbox = Running(self, [BINARY, "sandbox", *arguments], {})
        proxy = json.loads(sandbox.wait_for('"message":"ready"'))["url"].removeprefix("http://")
        # Below the installed packages, where Node looks for them.
        folder = pathlib.Path(tempfile.mkdtemp(prefix="app-", dir=INSTALLED))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        recipes.write(self.heading, folder, proxy, self.port)
        environment = {"HOME": str(folder), "CI": "1", **self.environment()}
        self.server = DevServer(self, self.command(self.port), environment, folder=folder)
        self.wait_until_it_answers()

    def wait_until_it_answers(self):
        deadline = time.monotonic() + MAX_START
        while True:
            try:
                status, _, _ = self.ask("GET", "/api/ready")
                if status == 200:
                    return
                failure = f"status {status}"
            except OSError as error:
                failure = str(error)
            if time.monotonic() > deadline or not self.server.is_running():
                raise AssertionError(f"{self.heading} does not answer ({failure}):\n{self.server.output()}")
            time.sleep(0.1)

    def send(self, method, path, body=None, **headers):
        """Sends what a page of the dev server would send."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=30)
        self.addCleanup(connection.close)
        origin = f"http://localhost:{self.port}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers |= {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Referer": f"{origin}/"}
        headers |= {"Accept-Encoding": "gzip, deflate, br, zstd"}
        if method != "GET":
            headers["Origin"] = origin
        connection.request(method, path, body=body, headers=headers)
        return connection.getresponse()

    def ask(self, method, path, body=None, **headers):
        response = self.send(method, path, body, **headers)
        return response.status, response, response.read()

    def event_of(self, method, path, body=None, **headers):
        """The event that the API got; dev servers may compress the answer."""
        status, response, answer = self.ask(method, path, body, **headers)
        self.assertEqual(status, 200, answer)
        if response.getheader("content-encoding") == "gzip":
            answer = gzip.decompress(answer)
        return json.loads(answer)

    def test_get_post_and_event_stream_pass(self):
        with self.subTest("GET"):
            event = self.event_of("GET", "/api/orders?item=green%20tea")
            self.assertTrue(event["path"].endswith("/orders"), event["path"])
            self.assertEqual(event["queryStringParameters"], {"item": "green tea"})
            self.assertTrue(event["requestContext"]["identity"]["cognitoIdentityId"])
        with self.subTest("POST"):
            sent = json.dumps({"item": "tea"})
            event = self.event_of("POST", "/api/orders", body=sent, content_type="application/json")
            self.assertEqual(event["httpMethod"], "POST")
            self.assertEqual(event["body"], sent)
        with self.subTest("event stream"):
            self.events_arrive_one_by_one()

    def events_arrive_one_by_one(self):
        path = f"/api/events/{EVENTS}?interval={int(INTERVAL * 1000)}"
        response = self.send("GET", path, accept="text/event-stream")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.getheader("content-type").split(";")[0], "text/event-stream")
        self.assertIsNone(response.getheader("content-encoding"))
        first = response.read1()
        began = time.monotonic()
        rest = response.read()
        self.assertIn(b"data:", first)
        self.assertEqual((first + rest).count(b"data:"), EVENTS, first + rest)
        self.assertGreater(time.monotonic() - began, INTERVAL * (EVENTS - 1) / 2, "the events came all at once")


def node(package, script, *arguments):
    return ["node", str(INSTALLED / "node_modules" / package / script), *arguments]


class Vite(Recipe, unittest.TestCase):
    heading = "Vite"

    def command(self, port):
        return node("vite", "bin/vite.js", "--port", str(port), "--strictPort")


class Next(Recipe, unittest.TestCase):
    heading = "Next.js"
    files = {"pages/index.js": "export default () => 'orders'\n", "package.json": "{}\n"}

    def command(self, port):
        return node("next", "dist/bin/next", "dev", "--port", str(port))

    def environment(self):
        return {"NEXT_TELEMETRY_DISABLED": "1"}


class Nuxt(Recipe, unittest.TestCase):
    heading = "Nuxt"
    files = {"app.vue": "<template>orders</template>\n", "package.json": '{"private": true}\n'}

    def command(self, port):
        return node("nuxt", "bin/nuxt.mjs", "dev", "--port", str(port), "--no-fork")

    def environment(self):
        return {"NUXT_TELEMETRY_DISABLED": "1"}


class SvelteKit(Recipe, unittest.TestCase):
    heading = "SvelteKit"
    files = {
        "package.json": '{"type": "module"}\n',
        "src/app.html": "<!doctype html><head>%sveltekit.head%</head><body>%sveltekit.body%</body>\n",
        "src/routes/+page.svelte": "<script>let { data } = $props()</script>{JSON.stringify(data.orders)}\n",
    }

    def command(self, port):
        return node("vite", "bin/vite.js", "--port", str(port), "--strictPort")

    def test_the_server_gets_an_answer_for_its_page(self):
        status, _, page = self.ask("GET", "/")
        self.assertEqual(status, 200, page)
        self.assertIn(b"cognitoIdentityId", page)


class WebpackDevServer(Recipe, unittest.TestCase):
    heading = "webpack-dev-server"
    files = {"src/index.js": "document.title = 'orders'\n"}

    def command(self, port):
        return node("webpack-cli", "bin/cli.js", "serve", "--port", str(port))


class Parcel(Recipe, unittest.TestCase):
    heading = "Parcel"
    # Parcel looks for `.proxyrc` beside the lock file.
    files = {
        "index.html": "<!doctype html><title>orders</title>\n",
        "package.json": "{}\n",
        "package-lock.json": "{}\n",
    }

    def command(self, port):
        return node("parcel", "lib/bin.js", "serve", "index.html", "--port", str(port))


class Caddy(Recipe, unittest.TestCase):
    heading = "Caddy"

    def program(self):
        return "caddy"

    def command(self, port):
        return ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]


class Nginx(Recipe, unittest.TestCase):
    heading = "nginx"
    # The recipe is a server of a complete configuration, whose workers run as this user.
    files = {
        "main.conf": f"user {getpass.getuser()}; pid nginx.pid; error_log stderr; events {{}} http {{ access_log off; "
        f"client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; "
        f"uwsgi_temp_path uwsgi; scgi_temp_path scgi; include nginx.conf; }}\n"
    }

    def program(self):
        return "nginx"

    def command(self, port):
        return ["sh", "-c", 'exec nginx -p "$PWD" -c main.conf -g "daemon off;"']


class TheDocument(unittest.TestCase):
    def test_the_document_marks_exactly_the_recipes_that_run_here(self):
        self.assertEqual(recipes.said_to_run(), {recipe.heading for recipe in Recipe.__subclasses__()})
