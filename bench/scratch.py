"""A folder for one run: certificates, files to serve, what the proxies spool; gone afterwards."""

import os
import shutil
import socket
import subprocess
import tempfile

# Spooled uploads, responses and the files together.
ROOM = 2 << 30

FILES = {"16k": 16 << 10, "1m": 1 << 20, "100m": 100 << 20}


class Scratch:
    """In memory where there is room, so that no disk is measured."""

    def __init__(self, certificates: "str | None" = None) -> None:
        self.folder = tempfile.mkdtemp(prefix="countersign-bench-", dir=place())
        self.certificates = os.path.abspath(certificates or self.path("certificates"))

    def __enter__(self) -> "Scratch":
        try:
            self.make_certificates()
            self.make_files()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    def write(self, name: str, text: str) -> str:
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def make_folder(self, name: str) -> str:
        os.makedirs(self.path(name), exist_ok=True)
        return self.path(name)

    def authority(self) -> str:
        return os.path.join(self.certificates, "ca.pem")

    def make_certificates(self) -> None:
        """An authority in ca.pem, and a certificate of it for localhost in server.pem and server.key."""
        os.makedirs(self.certificates, exist_ok=True)
        if os.path.exists(self.authority()):
            return
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        self.openssl("req", "-x509", *key, "-subj", "/CN=Bench", "-keyout", "ca.key", "-out", "ca.pem")
        self.openssl("req", "-new", *key[:-2], "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
        extensions = self.write("server.ext", "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        authority = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        self.openssl("x509", "-req", "-in", "server.csr", *authority, "-extfile", extensions, "-out", "server.pem")

    def openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.certificates, check=True, stderr=subprocess.DEVNULL)

    def make_files(self) -> None:
        folder = self.make_folder("files")
        for name, size in FILES.items():
            with open(os.path.join(folder, name), "wb") as file:
                for _ in range(0, size, 16 << 10):
                    file.write(b"countersign-bnch" * 1024)


def place() -> "str | None":
    memory = "/dev/shm"
    if os.access(memory, os.W_OK):
        found = os.statvfs(memory)
        if found.f_bavail * found.f_frsize >= ROOM:
            return memory
    return None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
