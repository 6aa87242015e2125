"""Runs functions of this folder in processes of other users of the machine."""

# Sockets import this at their first use, when the process may not be allowed to read the file any more.
import encodings.idna  # noqa: F401
import multiprocessing
import os
import resource
import traceback

PATIENCE = 60
# The processes are forked from a server without threads.
CONTEXT = multiprocessing.get_context("forkserver")


class Errand:
    """`function(*arguments)` in a process of `user`."""

    def __init__(self, user, function, *arguments, target=None):
        self._pipe, theirs = CONTEXT.Pipe()
        arguments = (user, theirs, function, arguments)
        self._process = CONTEXT.Process(target=target or run, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def receive(self):
        """What the process sends next.

        Raises AssertionError when that is an error, or nothing for PATIENCE seconds.
        """
        if not self._pipe.poll(PATIENCE):
            self.kill()
            raise AssertionError("the process of another user sends nothing")
        value, error = self._pipe.recv()
        if error:
            raise AssertionError(error)
        return value

    def kill(self):
        self._process.kill()

    def result(self):
        value = self.receive()
        self._process.join()
        return value


class Occupation(Errand):
    """A generator that runs in a process of `user` until `stop`, and has done its first step once this is made."""

    def __init__(self, test, user, function, *arguments):
        super().__init__(user, function, *arguments, target=go_on)
        # The pipe must outlive the test: its end would stop the process.
        test.addCleanup(self.kill)
        self.receive()

    def stop(self):
        """Ends it; returns what it yielded last."""
        self._pipe.send(None)
        return self.result()


def run_as(user, function, *arguments):
    return Errand(user, function, *arguments).result()


def run(user, pipe, function, arguments):
    try:
        become(user)
        pipe.send((function(*arguments), None))
    except Exception:
        pipe.send((None, traceback.format_exc()))


def go_on(user, pipe, function, arguments):
    try:
        become(user)
        steps = function(*arguments)
        pipe.send((next(steps), None))
        yielded = None
        while not pipe.poll():
            yielded = next(steps)
        pipe.send((yielded, None))
    except Exception:
        pipe.send((None, traceback.format_exc()))


def become(user):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if user != os.getuid():
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
