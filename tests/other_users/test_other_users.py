"""A proxy signs for its own user and for root; other users of the machine neither use it nor keep its user out."""

import os
import re
import resource
import shutil
import socket
import tempfile
import time
import unittest
import urllib.parse

from deeds import ask, ask_all, ask_over_socket_of, ask_unix, hold, request, reuse_ports, send_and_leave, sign_in
from people import Errand, Occupation, run_as
from program import BINARY, Running, Sandbox
from service import Service

ROOT, OWNER, OTHER = 0, 65532, 65533
REFUSALS = (None, 401, 403)
TOKEN = "admin-token-of-other-users"
LOOPBACK = ("127.0.0.1", 0)
ENDINGS = ("reset", "close", "shutdown and reset")
# The default of max-connections, and more than the admin listener takes.
MOST_CONNECTIONS, MOST_ELSEWHERE = 1024, 70
SILENT_BROWSERS = 40
# The port that the sandbox's app clients have registered for the redirect.
CALLBACK_PORT = 8976
# The longest that the owner may wait for an answer during an attack, in seconds: the kernel repeats a SYN that finds
# the backlog full after 1 s, 3 s and 7 s.
SLOWEST = 8


def setUpModule():
    # The proxy inherits the limit, and needs a descriptor for each connection.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class OtherUsers:
    """The tests, for a proxy of the user `owner`."""

    owner = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        cls.folder = folder.name
        cls.binary = shutil.copy(BINARY, folder.name)
        cls.state = os.path.join(folder.name, "state")
        os.mkdir(cls.state, 0o700)
        os.chown(cls.state, cls.owner, cls.owner)

    def setUp(self):
        self.service = Service(self)

    def start(self, **settings):
        """Starts a sandbox with settings in the form `name_of_setting="value"`."""
        settings = {f"COUNTERSIGN_{name.upper()}": value for name, value in settings.items()}
        settings["COUNTERSIGN_BACKEND"] = self.service.url
        sandbox = Sandbox(self, binary=self.binary, settings=settings, user=self.owner)
        self.admin_port = port_of(sandbox.admin)
        self.admin = both(self.admin_port)
        return sandbox

    def start_on_loopback(self, **settings):
        sandbox = self.start(**settings)
        self.port = port_of(sandbox.url)
        self.data = both(self.port)
        return sandbox

    def order(self, sender):
        return request(self.port, "POST", "/orders", b"{}", x_sender=sender)

    def assert_owner_is_served(self, addresses, sent, count=50):
        statuses, slowest = run_as(self.owner, ask_all, addresses, sent, count)
        self.assertEqual(statuses, {200: count})
        self.assertLess(slowest, SLOWEST)

    def assert_nothing_of_others_was_signed(self, owners):
        """Waits for the owner's requests, `owners` of them: they were sent last, and show that the count works."""
        deadline = time.monotonic() + SLOWEST
        while self.service.senders["owner"] < owners and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual((self.service.senders["owner"], self.service.senders["other"]), (owners, 0))

    def test_what_they_send_before_they_close_is_not_signed(self):
        sandbox = self.start_on_loopback()
        sent = self.order("other")
        errands = [
            Errand(OTHER, send_and_leave, self.data, sent, count, ending)
            for ending, count in zip(ENDINGS, (500, 500, 100))
            for _ in range(4)
        ]
        gone = [errand.result() for errand in errands]
        self.assert_owner_is_served(self.data, self.order("owner"))
        self.assert_nothing_of_others_was_signed(50)
        print(f"\n    {sum(gone)} requests sent by another user, none signed", end=" ", flush=True)
        self.assertTrue(sandbox.is_running())

    def test_they_get_nothing_but_a_refusal(self):
        self.start_on_loopback()
        for address in self.data:
            for source in (None, *sources(address)):
                with self.subTest(address=address, source=source):
                    status = run_as(OTHER, ask, address, self.order("other"), source)
                    self.assertIn(status, REFUSALS)
        self.assert_owner_is_served(self.data, self.order("owner"))
        self.assert_nothing_of_others_was_signed(50)

    def test_a_socket_of_theirs_stays_theirs_in_the_hands_of_others(self):
        self.start_on_loopback()
        for address in self.data:
            status = run_as(ROOT, ask_over_socket_of, OTHER, address, self.order("other"))
            self.assertIn(status, REFUSALS)
            status = run_as(ROOT, ask_over_socket_of, self.owner, address, self.order("owner"))
            self.assertEqual(status, 200)
        self.assert_nothing_of_others_was_signed(len(self.data))

    def test_a_connection_that_they_reset_is_not_taken_for_the_next_one_of_its_port(self):
        self.start_on_loopback()
        rounds, at_once = 40, 50
        first, second = (OTHER, self.order("other")), (self.owner, self.order("owner"))
        statuses = run_as(ROOT, reuse_ports, self.data[0], first, second, rounds, at_once)
        self.assertEqual(list(statuses), [200], statuses)
        self.assertGreater(statuses[200], rounds * at_once // 2)
        self.assert_nothing_of_others_was_signed(statuses[200])

    def test_connections_that_they_hold_keep_nobody_out(self):
        self.start_on_loopback()
        holders = [
            *(Occupation(self, OTHER, hold, self.data, MOST_CONNECTIONS // 4, True) for _ in range(4)),
            Occupation(self, OTHER, hold, self.admin, MOST_ELSEWHERE, True),
        ]
        self.assert_owner_is_served(self.data, self.order("owner"))
        self.assert_owner_is_served(self.admin, request(self.admin_port, "GET", "/readyz"))
        closed = sum(holder.stop() for holder in holders)
        print(f"\n    {closed} connections of another user were turned away meanwhile", end=" ", flush=True)
        self.assert_nothing_of_others_was_signed(50)

    def test_idle_connections_of_the_owner_give_way_to_requests(self):
        self.start_on_loopback()
        Occupation(self, self.owner, hold, self.data, MOST_CONNECTIONS, False)
        Occupation(self, self.owner, hold, self.admin, MOST_ELSEWHERE, False)
        self.assert_owner_is_served(self.data, self.order("owner"))
        self.assert_owner_is_served(self.admin, request(self.admin_port, "GET", "/readyz"))

    def test_the_admin_listener_gives_them_probes_and_metrics_alone(self):
        sandbox = self.start_on_loopback()
        for address in self.admin:
            for path in ("/livez", "/readyz", "/startupz", "/metrics"):
                self.assertEqual(run_as(OTHER, ask, address, request(self.admin_port, "GET", path)), 200, path)
            for source in (None, *sources(address)):
                for method, path in (("GET", "/status"), ("POST", "/quitquitquit")):
                    with self.subTest(path, address=address, source=source):
                        sent = request(self.admin_port, method, path)
                        self.assertIn(run_as(OTHER, ask, address, sent, source), (401, 403))
        for user in {ROOT, self.owner}:
            self.assertEqual(run_as(user, ask, self.admin[0], request(self.admin_port, "GET", "/status")), 200)
        self.assertTrue(sandbox.is_running())

    def test_the_admin_token_opens_the_admin_listener_to_them(self):
        # The owner's own addresses and those of the network: the listener is on all of them.
        sandbox = self.start_on_loopback(admin_listen="0.0.0.0:0", admin_token=TOKEN)
        addresses = [("127.0.0.1", self.admin_port), *((source, self.admin_port) for source in sources(LOOPBACK))]
        for address in addresses:
            for wrong in ({}, {"authorization": f"Bearer {TOKEN}x"}):
                for method, path in (("GET", "/status"), ("POST", "/quitquitquit")):
                    with self.subTest(path, address=address, fields=wrong):
                        sent = request(self.admin_port, method, path, host=address[0], **wrong)
                        self.assertIn(run_as(OTHER, ask, address, sent), (401, 403))
            sent = request(self.admin_port, "GET", "/metrics", host=address[0])
            self.assertEqual(run_as(OTHER, ask, address, sent), 200)
            sent = request(self.admin_port, "GET", "/status", host=address[0], authorization=f"Bearer {TOKEN}")
            self.assertEqual(run_as(OTHER, ask, address, sent), 200)
        sent = request(self.admin_port, "POST", "/quitquitquit", authorization=f"Bearer {TOKEN}")
        self.assertEqual(run_as(OTHER, ask, addresses[0], sent), 200)
        self.assertEqual(sandbox.exit_code(), 0)

    def test_they_do_not_end_the_process_by_leaving_at_once(self):
        sandbox = self.start_on_loopback()
        sent = request(self.admin_port, "POST", "/quitquitquit")
        errands = [
            Errand(OTHER, send_and_leave, self.admin, sent, 500, ending) for ending in ENDINGS for _ in range(2)
        ]
        for errand in errands:
            errand.result()
        self.assert_owner_is_served(self.admin, request(self.admin_port, "GET", "/status"))
        self.assertTrue(sandbox.is_running())
        self.assertEqual(run_as(self.owner, ask, self.admin[0], sent), 200)
        self.assertEqual(sandbox.exit_code(), 0)

    def test_they_are_refused_on_a_unix_socket_whatever_its_mode(self):
        path = os.path.join(self.state, "socket")
        sandbox = self.start(listen=f"unix:{path}")
        sent = request(0, "POST", "/orders", b"{}", x_sender="other").replace(b"localhost:0", b"localhost")
        self.assertEqual(run_as(OTHER, ask_unix, path, sent), "PermissionError")
        os.chmod(self.state, 0o711)
        self.addCleanup(os.chmod, self.state, 0o700)
        self.assertEqual(run_as(OTHER, ask_unix, path, sent), "PermissionError")
        os.chmod(path, 0o666)
        self.assertIn(run_as(OTHER, ask_unix, path, sent), REFUSALS)
        owners = sent.replace(b"x-sender: other", b"x-sender: owner")
        self.assertEqual(run_as(self.owner, ask_unix, path, owners), 200)
        self.assert_nothing_of_others_was_signed(1)
        self.assertTrue(sandbox.is_running())

    def start_sign_in(self):
        """Runs `countersign login --browser`; returns it and the page on which to sign in, with the user's name."""
        sandbox = self.start_on_loopback()
        settings = {**sandbox.settings(self.state), "COUNTERSIGN_DOMAIN": sandbox.user_pool}
        login = Running(self, [self.binary, "login", "--browser"], settings, self.folder, self.owner)
        url = re.search(r"http\S+", login.wait_for("/oauth2/authorize?"))[0]
        return login, (url, sandbox.username, sandbox.password)

    def finish_sign_in(self, login, page):
        """What the owner's browser does."""
        redirect = run_as(self.owner, sign_in, *page)
        self.assertEqual(run_as(self.owner, ask, both(CALLBACK_PORT)[0], redirected(redirect)), 200)
        self.assertEqual(login.exit_code(), 0, login.output())

    def test_they_cannot_end_a_sign_in_with_a_code_of_theirs(self):
        login, page = self.start_sign_in()
        # Everybody can read `state` in the arguments of the program that opens the page. The code is a valid one.
        sent = redirected(run_as(OTHER, sign_in, *page))
        for address in both(CALLBACK_PORT):
            for source in (None, *sources(address)):
                with self.subTest(address=address, source=source):
                    self.assertIn(run_as(OTHER, ask, address, sent, source), REFUSALS)
        self.finish_sign_in(login, page)

    def test_they_cannot_end_a_sign_in_by_leaving_at_once(self):
        login, page = self.start_sign_in()
        sent = redirected(run_as(OTHER, sign_in, *page))
        addresses = both(CALLBACK_PORT)
        errands = [Errand(OTHER, send_and_leave, addresses, sent, 500, ending) for ending in ENDINGS for _ in range(2)]
        for errand in errands:
            errand.result()
        self.finish_sign_in(login, page)

    def test_silent_connections_do_not_keep_a_browser_from_ending_a_sign_in(self):
        login, page = self.start_sign_in()
        Occupation(self, OTHER, hold, both(CALLBACK_PORT), SILENT_BROWSERS, True)
        Occupation(self, self.owner, hold, both(CALLBACK_PORT), SILENT_BROWSERS, False)
        self.finish_sign_in(login, page)


class OwnedByRoot(OtherUsers, unittest.TestCase):
    owner = ROOT


class OwnedByUnprivilegedUser(OtherUsers, unittest.TestCase):
    owner = OWNER


def port_of(url):
    return urllib.parse.urlsplit(url).port


def both(port):
    """The addresses of `localhost:PORT`; IPv4 alone on a machine that has no other."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return [("127.0.0.1", port)]
    return [("127.0.0.1", port), ("::1", port)]


def sources(address):
    """Addresses of this machine that a client of `address` can have, besides that one."""
    if address[0] != "127.0.0.1":
        return []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing, but chooses the address that would be used.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ["127.0.0.5"]
        return ["127.0.0.5", probe.getsockname()[0]]


def redirected(url):
    """The request of a browser that has been sent to `url`."""
    parts = urllib.parse.urlsplit(url)
    return request(parts.port, "GET", f"{parts.path}?{parts.query}")
