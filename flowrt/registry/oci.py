"""Artifacts in an OCI registry. `oras` speaks to it: anonymous, with user and password, with tokens."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import urllib.error
from collections.abc import Callable, Iterator
from functools import partial
from time import sleep
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from flowrt.errors import MissingExtra
from flowrt.parsing import parsed
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
from flowrt.registry.patience import Prompt, whole
from flowrt.registry.transfer import CHUNK, TIMEOUT_SECONDS, Link, fetch, opener
from flowrt.registry.tries import BUSY, again, busy
from flowrt.values import Struct

SIGNATURE_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_KEY = "dev.cosignproject.cosign/signature"
SIGNATURES_MAX = 16
SIGNATURE_BYTES_MAX = 65536
REDIRECTS_MAX = 5
SHOWN = 200
"""Bytes of an answer that a message about it shows."""
_TAG = r"[\w][\w.-]{0,127}"
_REFERENCE = re.compile(
    rf"(?P<host>[^/\s]+)/(?P<path>[^:@\s]+)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?"
)


class Reference(Struct, frozen=True):
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
        _bound(self._oras.session, host, insecure=insecure)
        self._root = f"{scheme}://{host}/"
        self._base = f"{self._root}v2/"
        self._sleep: Callable[[float], None] = sleep
        self._always: dict[str, str] = {}
        if user:
            self._oras.auth.set_basic_auth(user, password)
            if not hasattr(self._oras.auth, "token"):  # basic: said at once, rather than after a large upload
                self._always = dict(self._oras.auth.get_auth_header())

    def resolve(self, reference: Reference) -> str:
        """The digest that a tag leads to at present. Raises `Refused` and OSError."""
        which = reference.digest or reference.tag
        answer = self._ask("HEAD", f"{reference.path}/manifests/{which}", _ACCEPT)
        said = str(answer.headers.get("Docker-Content-Digest", ""))
        return checked_digest(said) if said else digest_of(self._manifest(reference.path, which))

    def pull(self, reference: Reference, name: str, blobs: Blobs, link: Link) -> Entry:
        """Bring an artifact's blobs into the store; what it is. Raises `Refused` and OSError."""
        self._sleep = link.sleep
        try:
            return self._pulled(reference, name, blobs, link)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Refused(f"what {reference.host} answers makes no sense: {error!r}") from None

    def _pulled(self, reference: Reference, name: str, blobs: Blobs, link: Link) -> Entry:
        manifest = self._manifest(reference.path, reference.digest or reference.tag)
        digest = digest_of(manifest)
        if reference.digest and digest != reference.digest:
            raise Refused(f"swapped: what came for {reference.digest[:26]} is {digest[:26]}")
        content, size, media_type = first_layer(manifest)
        fetch(blobs, content, size, lambda begun: self._blob(reference.path, content, begun), link)
        blobs.put(manifest)
        kind = kind_of(blobs.begins(content), media_type, name=_title(manifest))
        source = f"oci://{reference.host}/{reference.path}:{reference.tag}"
        name, version = named(f"{name}:{reference.tag}")
        return Entry(kind, name, version, digest, content, size, self._signatures(reference.path, digest), source)

    def push(self, entry: Entry, reference: Reference, blobs: Blobs) -> None:
        """Put an artifact and its signatures under a tag. Raises `Refused` and OSError."""
        manifest = blobs.read(entry.manifest)
        self._upload(reference.path, EMPTY)
        size = blobs.check(entry.content)
        self._upload_from(reference.path, entry.content, size, lambda: blobs.path(entry.content).open("rb"))
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
            value = parsed(self._manifest(path, _signature_tag(digest)))
        except (Refused, ValueError):
            return ()
        found = []
        for layer in value.get("layers", [])[:SIGNATURES_MAX]:
            given = (layer.get("annotations") or {}).get(SIGNATURE_KEY)
            if not isinstance(given, str) or not 0 < int(layer.get("size", 0)) < SIGNATURE_BYTES_MAX:
                continue
            payload_digest = checked_digest(str(layer["digest"]))
            payload = whole(self._blob(path, payload_digest, 0)[0], SIGNATURE_BYTES_MAX)
            if digest_of(payload) != payload_digest:
                raise Refused(f"swapped: a signature's statement is not {payload_digest[:26]}")
            found.append(Signature(payload, base64.b64decode(given)))
        return tuple(found)

    def _manifest(self, path: str, which: str) -> bytes:
        answer = again(lambda: self._ask("GET", f"{path}/manifests/{which}", _ACCEPT), self._sleep)
        data: bytes = answer.content
        if which.startswith("sha256:") and digest_of(data) != which:
            raise Refused(f"swapped: what came for {which[:26]} is {digest_of(data)[:26]}")
        return data

    def _blob(self, path: str, digest: str, begun: int) -> tuple[Iterator[bytes], bool]:
        headers = {"Range": f"bytes={begun}-"} if begun else {}
        answer = self._ask("GET", f"{path}/blobs/{digest}", headers, stream=True)
        return _parts(answer), answer.status_code == 206 or not begun

    def _upload(self, path: str, data: bytes) -> None:
        self._upload_from(path, digest_of(data), len(data), partial(io.BytesIO, data))

    def _upload_from(self, path: str, digest: str, size: int, open_it: Callable[[], IO[bytes]]) -> None:
        """A piece at a time. `open_it` is called once more where the registry asks who we are in the midst of it."""
        found = self._send("HEAD", f"{self._base}{path}/blobs/{digest}", {})
        if found.status_code == 200:
            return
        begun = self._ask("POST", f"{path}/blobs/uploads/", {"Content-Length": "0"})
        place = urljoin(self._base, begun.headers["Location"])
        mark = "&" if "?" in place else "?"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._checked(self._send("PUT", f"{place}{mark}digest={digest}", headers, open_it), place)

    def _put_manifest(self, path: str, which: str, data: bytes) -> None:
        url = f"{self._base}{path}/manifests/{which}"
        self._checked(self._send("PUT", url, {"Content-Type": MANIFEST_TYPE}, partial(io.BytesIO, data)), url)

    def _ask(self, method: str, what: str, headers: dict[str, str], *, stream: bool = False) -> Any:
        url = self._base + what
        return self._checked(self._send(method, url, dict(headers), stream=stream), url)

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: Callable[[], IO[bytes]] | None = None, *,
        stream: bool = False,
    ) -> Any:  # fmt: skip
        """A token that has expired, or was given for less, is asked for anew."""
        answer = self._send_once(method, url, headers, body, stream=stream)
        if answer.status_code == 401 and getattr(self._oras.auth, "token", None):
            self._oras.auth.token = None
            answer = self._send_once(method, url, headers, body, stream=stream)
        return answer

    def _send_once(
        self, method: str, url: str, headers: dict[str, str], body: Callable[[], IO[bytes]] | None, *, stream: bool
    ) -> Any:
        from oras.auth import AuthenticationException

        plainly = type(self._oras).do_request.__wrapped__  # without its own pauses and tries: ours know what came
        try:
            with body() if body is not None else contextlib.nullcontext() as data:
                if not url.startswith(self._root):  # where it wants an upload to go: no password, no token
                    return self._oras.session.request(method, url, data=data, headers=headers, stream=stream)
                headers = {**headers, **self._always}
                return plainly(self._oras, url, method, data=data, headers=headers, stream=stream)
        except (ValueError, AttributeError, AuthenticationException) as error:  # it has nothing to answer with
            raise Refused(f"{url}: the registry asks who we are; give --user and --password-file ({error})") from None

    def _checked(self, answer: Any, url: str) -> Any:
        if answer.status_code < 400:
            return answer
        with answer:
            detail = _bounded(answer, SHOWN)[:SHOWN].decode(errors="replace").strip()
        words = f"{url} answered {answer.status_code}: {detail if answer.status_code != 404 else 'not there'}"
        if answer.status_code in BUSY:
            raise busy(words, answer.headers.get("Retry-After"))
        raise Refused(words)


_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
"""What we take nothing of; asked for, so that the reason is told and not that nothing is there."""
_ACCEPT = {
    "Accept": ", ".join(
        (MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json", *(f"{one};q=0.1" for one in _INDEXES))
    )
}


def _signature_tag(digest: str) -> str:
    return digest.replace(":", "-") + ".sig"


def _title(manifest: bytes) -> str:
    layer = parsed(manifest)["layers"][0]
    return str((layer.get("annotations") or {}).get("org.opencontainers.image.title", ""))


def _parts(answer: Any) -> Iterator[bytes]:
    """As they come: a whole chunk would be waited for however slowly it trickles in. Raises OSError."""
    with answer:
        while part := _next_part(answer):
            yield part


def _next_part(answer: Any) -> bytes:
    try:
        part: bytes = answer.raw.read1(CHUNK, decode_content=False)
    except Exception as error:  # noqa: BLE001 - whatever the library raises, it is the transfer that broke off
        raise ConnectionError(f"broke off: {error}") from None
    return part


def _asks_for(url: str) -> str:
    """How a registry wants to know who we are: `basic` or `token`. One that asks nothing is content with either."""
    try:
        opener().open(url, timeout=TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as error:
        with error:
            return "basic" if error.headers.get("WWW-Authenticate", "").lower().startswith("basic") else "token"
    return "token"


def related(url: str, host: str) -> bool:
    """Whether a password for a registry may go to an address: the registry's own host at whatever port, or one that has
    the last two parts of its name in common with it, as auth.example.com with registry.example.com."""
    one, other = urlsplit(url).hostname or "", urlsplit(f"//{host}").hostname or ""
    if one == other:
        return True
    parts = one.split("."), other.split(".")
    return min(map(len, parts)) > 1 and parts[0][-2:] == parts[1][-2:] and not parts[0][-1].isdecimal()


def _bound(session: Any, host: str, *, insecure: bool) -> None:
    """Oras asks without a time-out and reads answers whole: a registry that falls silent must not hold an update for
    ever, one that never ends its answer must not take the memory, one that leads elsewhere must not get the password
    in clear, nor anybody else."""
    plain = session.request
    session.headers["Accept-Encoding"] = "identity"  # digests are of what is sent, and a little packs a lot
    for prefix in ("http://", "https://"):
        _hurry(session.get_adapter(prefix).poolmanager)
    session.max_redirects = REDIRECTS_MAX

    def request(method: str, url: str, *, stream: bool = False, **options: Any) -> Any:
        options.setdefault("timeout", TIMEOUT_SECONDS)
        if not insecure and not url.startswith("https:"):
            raise Refused(f"the registry leads to {url[:200]}, which is not secured")
        if "Authorization" in (options.get("headers") or {}) and not related(url, host):
            raise Refused(f"the registry wants our password to go to {url[:200]}, which is not of {host}'s domain")
        if (body := options.get("data")) is not None:
            body.seek(0)  # it was sent before, to a registry that then asked who we are
        answer = plain(method, url, stream=True, **options)
        if answer.status_code in (401, 403) and urlsplit(answer.url).netloc != urlsplit(url).netloc:
            answer.close()
            raise Refused(f"{answer.url[:200]}, where the registry leads, answered {answer.status_code}")
        if not stream:
            with answer:
                answer._content = _bounded(answer, MANIFEST_BYTES_MAX)
        return answer

    def follow(answer: Any, **_: Any) -> None:
        target = urljoin(answer.url, answer.headers.get("Location", ""))
        if answer.is_redirect and not target.startswith(("https:",) if not insecure else ("https:", "http:")):
            answer.close()
            raise Refused(f"the registry leads to {target[:200]}, which is not followed")

    session.request = request
    session.hooks["response"].append(follow)


def _hurry(pools: Any) -> None:
    """Let answers of a pool of connections begin in time."""
    pools.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": type("Prompt", (Prompt, pool.ConnectionCls), {})})
        for scheme, pool in pools.pool_classes_by_scheme.items()
    }


def _bounded(answer: Any, most: int) -> bytes:
    """Raises `Refused` for more than that."""
    known = answer._content
    if isinstance(known, bytes):
        return known
    found = whole(_parts(answer), most)
    if len(found) > most and answer.status_code < 400:
        raise Refused(f"{answer.url} answers with more than {most} bytes")
    return found
