"""What can happen to the folder of the session. Each fault is a context manager: it begins and is healed."""

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess

PATIENCE = 10


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def full_disk(cell):
    filler = os.path.join(cell.state, "filler")
    with open(filler, "wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
    yield
    os.remove(filler)


@contextlib.contextmanager
def read_only(cell):
    """A file system with a file that is open for writing cannot be remounted, but hidden under one that is."""
    mount("--bind", cell.state, cell.state)
    mount("-o", "remount,bind,ro", cell.state)
    yield
    # Lazily, since the program may be looking at it.
    subprocess.run(["umount", "--lazy", cell.state], check=True)


@contextlib.contextmanager
def deleted_folder(cell):
    """What was deleted at rest comes back from a backup; otherwise the program makes the folder anew."""
    backup = f"{cell.folder}.backup"
    os.rename(cell.folder, backup)
    yield
    if cell.moment == "at-rest":
        os.rename(backup, cell.folder)
    else:
        shutil.rmtree(backup)


@contextlib.contextmanager
def held_lock(cell):
    """Another process holds the lock. Where the program has it at this moment, somebody has deleted the file before."""
    if cell.moment == "rotation":
        os.remove(cell.lock)
    with open(cell.lock, "w", encoding="utf-8") as lock:
        os.chmod(cell.lock, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def failing(calls, paths=()):
    """EIO from system calls of the running program, by strace; at all paths, or at these extensions of the session."""

    @contextlib.contextmanager
    def fault(cell):
        trace = f"{cell.state}.trace"
        command = ["strace", "-f", "-p", str(cell.process.pid), "-o", trace, "-e", f"trace={calls}"]
        command += ["-e", f"inject={calls}:error=EIO"]
        for extension in paths:
            command += ["-P", cell.path(extension)]
        with open(f"{cell.state}.strace", "w+", encoding="utf-8") as said:
            strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=said)
            cell.callback(stop, strace)
            cell.wait(PATIENCE, lambda: "attached" in read(said), lambda: f"strace: {read(said)}")
            yield
            stop(strace)
        with open(trace, encoding="utf-8") as traced:
            assert "(INJECTED)" in traced.read(), "no call has failed"

    return fault


def tracing_fails():
    """Why no system call can be made to fail here; None where it can."""
    if not shutil.which("strace"):
        return "strace is missing"
    # It attaches to its child as it does to a program that runs already.
    command = ["strace", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"]
    tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else tried.stderr.strip() or "strace cannot trace here"


def read(file):
    return os.pread(file.fileno(), 1 << 16, 0).decode()


def stop(process):
    """Lets a program that strace is attached to run on without it."""
    if process.poll() is None:
        process.terminate()
        process.wait(PATIENCE)


BY_MOUNTS = {
    "full-disk": full_disk,
    "read-only": read_only,
    "deleted-folder": deleted_folder,
    "held-lock": held_lock,
}
BY_STRACE = {
    "eio-open": failing("openat", ("json", "lock", "new")),
    "eio-fsync": failing("fsync"),
    "eio-rename": failing("?rename,?renameat,?renameat2"),
    "eio-flock": failing("flock"),
}
