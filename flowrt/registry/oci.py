"""Artifacts in an OCI registry. `oras` speaks to it: anonymous, with user and password, with tokens."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from flowrt.errors import MissingExtra
from flowrt.registry.artifact import (
    EMPTY,
    MANIFEST_BYTES_MAX,
    MANIFEST_TYPE,
    Entry,
    Signature,
    first_layer,
    kind_of,
    named,
)
from flowrt.registry.blobs import Blobs, Refused, checked_digest, digest_of
from flowrt.registry.transfer import CHUNK, TIMEOUT_SECONDS, Link, fetch

SIGNATURE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_KEY = "dev.cosignproject.cosign/signature"
SIGNATURES_MAX = 16
_TAG = r"[\w][\w.-]{0,127}"
_REFERENCE = re.compile(
    rf"(?P<host>[^/\s]+)/(?P<path>[^:@\s]+)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """`HOST[:PORT]/PATH:TAG`, `…@sha256:…` or both."""

    host: str
    path: str
    tag: str
    digest: str = ""

    @property
    def name(self) -> str:
        """What it goes by in the store unless told otherwise."""
        return self.path.rpartition("/")[2]


def parse_reference(text: str) -> Reference:
    """Raises `Refused`."""
    found = _REFERENCE.fullmatch(text.removeprefix("oci://"))
    if found is None or ".." in found["path"].split("/"):
        raise Refused(f"'{text[:200]}' names nothing in a registry; write oci://HOST/PATH:TAG")
    return Reference(found["host"], found["path"], found["tag"] or "latest", found["digest"] or "")


class Registry:
    """One registry. `user` and `password` are used when it asks for them."""

    def __init__(self, host: str, *, insecure: bool = False, user: str = "", password: str = "") -> None:
        """`insecure`: plain HTTP. Raises `MissingExtra`."""
        try:
            from oras.provider import Registry as Oras
        except ImportError:
            raise MissingExtra("a registry", "oci") from None
        scheme = "http" if insecure else "https"
        self._oras: Any = Oras(host, insecure=insecure, auth_backend=_asks_for(f"{scheme}://{host}/v2/"))
        _bound_time(self._oras.session)
        if user:
            self._oras.auth.set_basic_auth(user, password)
        self._base = f"{scheme}://{host}/v2/"

    def resolve(self, reference: Reference) -> str:
        """The digest that a tag leads to at present. Raises `Refused` and OSError."""
        answer = self._ask("HEAD", f"{reference.path}/manifests/{reference.digest or reference.tag}", _ACCEPT)
        return checked_digest(str(answer.headers.get("Docker-Content-Digest", "")))

    def pull(self, reference: Reference, name: str, blobs: Blobs, link: Link) -> Entry:
        """Bring an artifact's blobs into the store; what it is. Raises `Refused` and OSError."""
        manifest = self._manifest(reference.path, reference.digest or reference.tag)
        digest = digest_of(manifest)
        if reference.digest and digest != reference.digest:
            raise Refused(f"swapped: what came for {reference.digest[:26]} is {digest[:26]}")
        content, size, media_type = first_layer(manifest)
        fetch(blobs, content, size, lambda begun: self._blob(reference.path, content, begun), link)
        blobs.put(manifest)
        data = blobs.read(content)
        kind = kind_of(data, media_type, name=_title(manifest))
        source = f"oci://{reference.host}/{reference.path}:{reference.tag}"
        name, version = named(f"{name}:{reference.tag}")
        return Entry(kind, name, version, digest, content, size, self._signatures(reference.path, digest), source)

    def push(self, entry: Entry, reference: Reference, blobs: Blobs) -> None:
        """Put an artifact and its signatures under a tag. Raises `Refused` and OSError."""
        manifest = blobs.read(entry.manifest)
        for blob in (EMPTY, blobs.read(entry.content)):
            self._upload(reference.path, blob)
        self._put_manifest(reference.path, reference.tag, manifest)
        if entry.signatures:
            self._push_signatures(reference.path, entry)

    def _push_signatures(self, path: str, entry: Entry) -> None:
        layers = []
        for signature in entry.signatures:
            self._upload(path, signature.payload)
            layers.append(
                {
                    "mediaType": SIGNATURE_TYPE,
                    "digest": digest_of(signature.payload),
                    "size": len(signature.payload),
                    "annotations": {SIGNATURE_KEY: base64.b64encode(signature.signature).decode()},
                }
            )
        config = json.dumps({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        self._upload(path, config)
        value = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(config),
                "size": len(config),
            },
            "layers": layers,
        }
        self._put_manifest(path, _signature_tag(entry.manifest), json.dumps(value).encode())

    def _signatures(self, path: str, digest: str) -> tuple[Signature, ...]:
        """What is signed beside a manifest, as `cosign` puts it there; nothing where that is not there."""
        try:
            value = json.loads(self._manifest(path, _signature_tag(digest)))
        except (Refused, ValueError):
            return ()
        found = []
        for layer in value.get("layers", [])[:SIGNATURES_MAX]:
            given = (layer.get("annotations") or {}).get(SIGNATURE_KEY)
            if not isinstance(given, str) or not 0 < int(layer.get("size", 0)) < 65536:
                continue
            payload_digest = checked_digest(str(layer["digest"]))
            payload = b"".join(self._blob(path, payload_digest, 0)[0])
            if digest_of(payload) != payload_digest:
                raise Refused(f"swapped: a signature's statement is not {payload_digest[:26]}")
            found.append(Signature(payload, base64.b64decode(given)))
        return tuple(found)

    def _manifest(self, path: str, which: str) -> bytes:
        answer = self._ask("GET", f"{path}/manifests/{which}", _ACCEPT)
        data: bytes = answer.content
        if len(data) > MANIFEST_BYTES_MAX:
            raise Refused(f"a manifest of {len(data)} bytes")
        if which.startswith("sha256:") and digest_of(data) != which:
            raise Refused(f"swapped: what came for {which[:26]} is {digest_of(data)[:26]}")
        return data

    def _blob(self, path: str, digest: str, begun: int) -> tuple[Iterator[bytes], bool]:
        headers = {"Range": f"bytes={begun}-"} if begun else {}
        answer = self._ask("GET", f"{path}/blobs/{digest}", headers, stream=True)
        return _parts(answer), answer.status_code == 206 or not begun

    def _upload(self, path: str, data: bytes) -> None:
        digest = digest_of(data)
        found = self._send("HEAD", f"{self._base}{path}/blobs/{digest}", {})
        if found.status_code == 200:
            return
        begun = self._ask("POST", f"{path}/blobs/uploads/", {"Content-Length": "0"})
        place = urljoin(self._base, begun.headers["Location"])
        mark = "&" if "?" in place else "?"
        headers = {"Content-Type": "application/octet-stream"}
        self._checked(self._send("PUT", f"{place}{mark}digest={digest}", headers, data), place)

    def _put_manifest(self, path: str, which: str, data: bytes) -> None:
        url = f"{self._base}{path}/manifests/{which}"
        self._checked(self._send("PUT", url, {"Content-Type": MANIFEST_TYPE}, data), url)

    def _ask(self, method: str, what: str, headers: dict[str, str], *, stream: bool = False) -> Any:
        url = self._base + what
        return self._checked(self._send(method, url, dict(headers), stream=stream), url)

    def _send(
        self, method: str, url: str, headers: dict[str, str], data: bytes | None = None, *, stream: bool = False
    ) -> Any:
        from oras.auth import AuthenticationException

        plainly = type(self._oras).do_request.__wrapped__  # without its own pauses and tries: ours know what came
        try:
            return plainly(self._oras, url, method, data=data, headers=dict(headers), stream=stream)
        except (ValueError, AttributeError, AuthenticationException) as error:  # it has nothing to answer with
            raise Refused(f"{url}: the registry asks who we are; give --user and --password-file ({error})") from None

    def _checked(self, answer: Any, url: str) -> Any:
        if answer.status_code < 400:
            return answer
        detail = answer.text[:200].strip() if answer.status_code != 404 else "it is not there"
        raise Refused(f"{url} answered {answer.status_code}: {detail}")


_ACCEPT = {"Accept": f"{MANIFEST_TYPE}, application/vnd.docker.distribution.manifest.v2+json"}


def _signature_tag(digest: str) -> str:
    return digest.replace(":", "-") + ".sig"


def _title(manifest: bytes) -> str:
    layer = json.loads(manifest)["layers"][0]
    return str((layer.get("annotations") or {}).get("org.opencontainers.image.title", ""))


def _parts(answer: Any) -> Iterator[bytes]:
    """What requests raises is an OSError."""
    with answer:
        yield from answer.iter_content(CHUNK)


def _asks_for(url: str) -> str:
    """How a registry wants to know who we are: `basic` or `token`. One that asks nothing is content with either."""
    request = urllib.request.Request(url)  # noqa: S310 - http or https, by the caller
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        with error:
            return "basic" if error.headers.get("WWW-Authenticate", "").lower().startswith("basic") else "token"
    return "token"


def _bound_time(session: Any) -> None:
    """Oras asks without a time-out: a registry that has fallen silent must not hold an update for ever."""
    plain = session.request

    def request(method: str, url: str, **options: Any) -> Any:
        options.setdefault("timeout", TIMEOUT_SECONDS)
        return plain(method, url, **options)

    session.request = request
