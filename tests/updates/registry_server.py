"""A real registry server on a free port of the loopback interface: `with RegistryServer(folder) as server: …`."""

import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from brokers import free_port

PROGRAM = shutil.which("docker-registry", path="/usr/bin:/usr/local/bin")
needs_registry = pytest.mark.skipif(PROGRAM is None, reason="docker-registry is not installed")


class RegistryServer:
    def __init__(self, folder, *, user="", password="", tokens=None):
        """`tokens`: a `TokenServer` that it sends its clients to."""
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
        if tokens is not None:
            lines.append(
                f"auth: {{token: {{realm: '{tokens.url}', service: test, issuer: test, "
                f"rootcertbundle: {tokens.certificate}}}}}"
            )
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


class TokenServer:
    """What a registry with token authentication sends its clients to: gives tokens that are signed with a key whose
    certificate the registry trusts. Anybody may pull what begins with `open/`; the one user may do everything."""

    def __init__(self, folder, user, password, *, seconds=60):
        self.asked = []
        """Whom it gave a token, and for what."""
        self.certificate = folder / "token.pem"
        self._key, self._der = self._made()
        self._who = f"{user}:{password}"
        self._seconds = seconds
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer._answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _made(self):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1)
        ).sign(key, hashes.SHA256())
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return key, made.public_bytes(serialization.Encoding.DER)

    def _answer(self, request):
        asked = parse_qs(urlsplit(request.path).query)
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        known = bool(given) and b64decode(given).decode() == self._who
        if given and not known:
            request.send_error(401)
            return
        access = []
        for scope in " ".join(asked.get("scope", [])).split():
            kind, name, actions = scope.split(":")
            allowed = [action for action in actions.split(",") if known or (action == "pull" and name[:5] == "open/")]
            access.append({"type": kind, "name": name, "actions": allowed})
        self.asked.append((known, access))
        now = int(time.time())
        claims = {"iss": "test", "sub": "", "aud": "test", "iat": now, "nbf": now - 5, "exp": now + self._seconds}
        token = jwt.encode(
            {**claims, "jti": str(now), "access": access}, self._key, "ES256", {"x5c": [b64encode(self._der).decode()]}
        )
        body = dumps({"token": token}).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
