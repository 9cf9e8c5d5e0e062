"""A real registry server on a free port of the loopback interface: `with RegistryServer(folder) as server: …`."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from brokers import free_port

PROGRAM = shutil.which("docker-registry", path="/usr/bin:/usr/local/bin")
needs_registry = pytest.mark.skipif(PROGRAM is None, reason="docker-registry is not installed")


class RegistryServer:
    def __init__(self, folder, *, user="", password=""):
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self._folder = folder / "registry"
        self._folder.mkdir()
        lines = [
            "version: 0.1",
            "log: {level: error}",
            f"storage: {{filesystem: {{rootdirectory: {self._folder}}}}}",
            f"http: {{addr: '{self.host}'}}",
        ]
        if user:
            import crypt

            hashed = crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
            (self._folder / "htpasswd").write_text(f"{user}:{hashed}\n")
            lines.append(f"auth: {{htpasswd: {{realm: test, path: {self._folder}/htpasswd}}}}")
        (self._folder / "config.yml").write_text("\n".join(lines) + "\n")

    def __enter__(self):
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", str(self._folder / "config.yml")], stdout=log, stderr=log
            )
        until = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1).close()
                return self
            except urllib.error.HTTPError as error:
                error.close()
                return self
            except (OSError, socket.timeout):  # noqa: UP041
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.02)

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(10)
