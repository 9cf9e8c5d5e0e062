"""A server behind TLS: reached with the authority that signed its certificate, and refused without."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nn_engines import expected
from nn_models import autoencoder

from flowrt.nn.backend import Session, Source
from flowrt.nn.backends.remote import RemoteBackend
from flowrt.nn.faults import ModelFault

pytest.importorskip("grpc")
from v2_server import Server

ROWS = np.random.default_rng(1).normal(size=(5, 16)).astype("f4")


def openssl(folder: Path, text: str) -> None:
    subprocess.run(["openssl", *text.split()], check=True, capture_output=True, cwd=folder)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem`; `server.key` and `server.pem`, which it signed for 127.0.0.1; and `other.pem`, which signed nothing."""
    folder = tmp_path_factory.mktemp("certificates")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    for name in ("ca", "other"):
        openssl(folder, f"req -x509 {key} -days 2 -subj /CN=flowrt-test-{name} -keyout {name}.key -out {name}.pem")
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(folder, f"req {key} -subj /CN=server -keyout server.key -out server.csr")
    openssl(folder, "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san"
                    " -out server.pem")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def server(certificates: Path) -> Iterator[Server]:
    running = Server({"ae": autoencoder()}, tls=(certificates / "server.key", certificates / "server.pem"))
    yield running
    running.close()


def load(url: str, **options: str) -> Session:
    return RemoteBackend().load(Source(url, (url.encode(),), options={"timeout": 10.0, **options}), "cpu", 1)


SCHEMES = pytest.mark.parametrize("scheme", ["https", "grpcs"])


@SCHEMES
def test_its_authority_is_named_by_a_file(server: Server, certificates: Path, scheme: str) -> None:
    session = load(server.url(scheme, "ae"), ca=str(certificates / "ca.pem"))
    np.testing.assert_allclose(session.run([ROWS])[0], expected(ROWS), rtol=1e-5, atol=1e-5)
    session.close()


@SCHEMES
@pytest.mark.parametrize("authority", [None, "other.pem"])
def test_another_authority_is_no_good(server: Server, certificates: Path, scheme: str, authority: str | None) -> None:
    before = server.requests
    with pytest.raises(ModelFault) as caught:
        load(server.url(scheme, "ae"), **({"ca": str(certificates / authority)} if authority else {}))
    assert caught.value.code in {"runtime-error", "timeout"}
    assert f"127.0.0.1:{server.url(scheme, '').split(':')[2].rstrip('/')}" in caught.value.detail
    assert server.requests == before


@SCHEMES
@pytest.mark.parametrize(("file", "why"), [("none.pem", "cannot be read: No such file"), ("san", "is no certificate")])
def test_a_file_that_is_no_certificate_is_told(
    server: Server, certificates: Path, scheme: str, file: str, why: str
) -> None:
    with pytest.raises(ModelFault, match=f"{file} {why}"):
        load(server.url(scheme, "ae"), ca=str(certificates / file))


@SCHEMES
def test_a_server_without_tls_is_refused(server: Server, certificates: Path, scheme: str) -> None:
    """`grpc` where `grpcs` is meant, and the reverse, fail in words and not for ever."""
    plain = server.url(scheme.removesuffix("s"), "ae")
    with pytest.raises(ModelFault):
        load(plain, timeout=2.0)  # type: ignore[arg-type]
