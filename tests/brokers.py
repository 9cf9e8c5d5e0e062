"""A real Mosquitto on a free port of the loopback interface, for tests: `with Broker() as broker: …`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="Mosquitto is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """Starts with `start` or as a context manager; `restart` and `kill` keep port, folder and persistent sessions.

    `tls` makes an authority, a server and a client certificate under `folder`; `client_certificate` demands one from
    clients. `users` maps names to passwords, `acl` holds lines of Mosquitto's ACL format.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        persistence: bool = False,
        tls: bool = False,
        client_certificate: bool = False,
        users: dict[str, str] | None = None,
        acl: Sequence[str] = (),
        max_inflight: int = 1000,
        extra: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="flowrt-broker-"))
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"listener {self.port} {self.host}",
            f"allow_anonymous {'false' if users else 'true'}",
            f"max_inflight_messages {max_inflight}",
            "max_queued_messages 0",
            "max_queued_bytes 0",
            "set_tcp_nodelay true",
            "log_type all",
            *extra,
        ]
        if persistence:
            lines += ["persistence true", f"persistence_location {self.folder}/", "autosave_on_changes true"]
            lines.append("autosave_interval 1")
        if tls:
            make_certificates(self.folder, self.host)
            lines += [f"cafile {self.ca}", f"certfile {self.folder}/server.pem", f"keyfile {self.folder}/server.key"]
            lines.append(f"require_certificate {'true' if client_certificate else 'false'}")
        if users:
            (self.folder / "users").write_text("".join(f"{name}:{word}\n" for name, word in users.items()))
            subprocess.run(["mosquitto_passwd", "-U", str(self.folder / "users")], check=True)
            lines.append(f"password_file {self.folder}/users")
        if acl:
            (self.folder / "acl").write_text("\n".join(acl) + "\n")
            (self.folder / "acl").chmod(0o600)
            lines.append(f"acl_file {self.folder}/acl")
        if os.getuid() == 0:
            lines.append("user root")
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def client_cert(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Returns once the port answers."""
        assert MOSQUITTO is not None
        with (self.folder / "log").open("ab") as log:
            command = [MOSQUITTO, "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(f"mosquitto did not start:\n{self.log}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """As a service manager stops it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut stops it."""
        self._end(signal.SIGKILL)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Its connections stay up, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            if self._process is not None:  # it may have been killed meanwhile
                self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None


def make_certificates(folder: Path, host: str) -> None:
    """An authority (`ca.pem`), and a server's and a client's certificate that it signed, with their keys."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=flowrt test CA",
            "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    (folder / "san").write_text(f"subjectAltName=IP:{host},DNS:localhost\n")
    for who in ("server", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={who}", "-keyout", f"{who}.key",
                "-out", f"{who}.csr")  # fmt: skip
        openssl("x509", "-req", "-days", "2", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-extfile", "san", "-out", f"{who}.pem")  # fmt: skip
