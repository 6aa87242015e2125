"""An application that asks without a pause, and what each of its requests came to."""

import collections
import dataclasses
import http.client
import itertools
import json
import threading
import time

from service import answer_to

HOST = "sidecar.rehearsal.test"
PATIENCE = 60
EXPLICIT = (502, 503, 504)
IN_A_ROW = 3
# No two requests of a run share a name.
NUMBERS = itertools.count()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One request: `answered`, or the word for an explicit error, or `WRONG` with what was wrong."""

    kind: str
    name: str
    started: float
    ended: float
    word: str

    @property
    def answered(self):
        return self.word == "answered"


class Application:
    """Workers on `host`, each with one request at a time: readers that keep connections, orders, streams."""

    def __init__(self, host, address, token, readers=3, orders=2, streams=1, stream_seconds=2.0):
        self._host, self._address, self._token = host, address, token
        self._stream_seconds = stream_seconds
        self._stopping = threading.Event()
        self._workers = []
        for kind, count in (("small", readers), ("order", orders), ("stream", streams)):
            for _ in range(count):
                outcomes = []
                thread = threading.Thread(target=self._work, args=(kind, outcomes), daemon=True)
                self._workers.append((thread, outcomes))
        for thread, _ in self._workers:
            thread.start()

    def stop(self):
        self._stopping.set()
        for thread, _ in self._workers:
            thread.join(PATIENCE)

    def outcomes(self, since=0.0):
        """What ended after `since`, of all workers."""
        return [outcome for _, outcomes in self._workers for outcome in list(outcomes) if outcome.ended > since]

    def wait_for_answers(self, since):
        """Waits until each worker got several answers in a row; the seconds from `since` to the last one's first."""
        return max(self._wait(outcomes, lambda known: run_of_answers(known, since)) for _, outcomes in self._workers)

    def wait_for_errors(self, since, kinds=("small", "order", "stream")):
        """Waits until each worker of these kinds has met with an error."""

        def met(known):
            return any(not outcome.answered for outcome in known if outcome.ended > since) or None

        for _, outcomes in self._workers:
            self._wait(outcomes, lambda known: True if known and known[0].kind not in kinds else met(known))

    def _wait(self, outcomes, condition):
        deadline = time.monotonic() + PATIENCE
        while (value := condition(list(outcomes))) is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"it does not come; the last that happened: {outcomes[-3:]}")
            time.sleep(0.02)
        return value

    def _work(self, kind, outcomes):
        self._host.enter()
        connection = self._connection()
        while not self._stopping.is_set():
            name = f"{kind}-{next(NUMBERS)}"
            started = time.monotonic()
            word, connection = self._ask(kind, name, connection)
            outcomes.append(Outcome(kind, name, started, time.monotonic(), word))
            self._stopping.wait(0.05)
        connection.close()

    def _connection(self):
        return http.client.HTTPConnection(*self._address, timeout=PATIENCE)

    def _ask(self, kind, name, connection):
        """Only what is safe to repeat goes out on a connection that was used, and is repeated when that has ended."""
        used = connection.sock is not None
        if used and kind != "small":
            connection.close()
            used = False
        try:
            return self._exchange(kind, name, connection), connection
        except ConnectionRefusedError:
            word = "refused"
        except http.client.IncompleteRead:
            word = "cut"
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if used:
                connection.close()
                return self._ask(kind, name, self._connection())
            word = "cut"
        except TimeoutError:
            word = "WRONG: no end"
        except (http.client.HTTPException, OSError) as error:
            word = f"WRONG: {error!r}"
        connection.close()
        return word, self._connection()

    def _exchange(self, kind, name, connection):
        length = {"small": 20_000, "order": 3_000, "stream": 200_000}[kind]
        headers = {"host": HOST, "authorization": f"Bearer {self._token}"}
        if kind == "order":
            connection.request("POST", f"/order/{name}/{length}", answer_to(f"order {name}", length), headers)
        else:
            connection.request("GET", f"/{kind}/{name}/{length}/{self._stream_seconds}", headers=headers)
        response = connection.getresponse()
        body = response.read()
        if response.status in (200, 201):
            return "answered" if body == answer_to(name, length) else f"WRONG: {len(body)} bytes of another answer"
        return explicit_error(response, body)


def explicit_error(response, body):
    """The code of a problem that the proxy speaks of as its own."""
    own = "error=" in response.headers.get("proxy-status", "")
    if response.status in EXPLICIT and own and response.headers["content-type"] == "application/problem+json":
        return json.loads(body)["code"]
    return f"WRONG: {response.status} {body[:200]}"


def run_of_answers(outcomes, since):
    """Seconds from `since` to the first of several answers in a row that are the latest."""
    latest = [outcome for outcome in outcomes if outcome.ended > since]
    run = list(itertools.takewhile(lambda outcome: outcome.answered, reversed(latest)))
    needed = 1 if run and run[0].kind == "stream" else IN_A_ROW
    return run[-1].ended - since if len(run) >= needed else None


def summary(outcomes):
    """`312 requests: 280 answered, 32 upstream-timeout`."""
    words = collections.Counter(outcome.word for outcome in outcomes)
    return f"{len(outcomes)} requests: " + ", ".join(f"{count} {word}" for word, count in words.most_common())
