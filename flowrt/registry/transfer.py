"""Bytes on their way: bounded in rate for metered links, resumed where they broke off, told to whoever watches."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urldefrag, urlsplit

from flowrt.registry.blobs import Blobs, Refused
from flowrt.registry.files import lock_file
from flowrt.registry.patience import Plain, Secured, in_time, whole
from flowrt.registry.room import require_room
from flowrt.registry.tries import BUSY, again, busy, is_full
from flowrt.values import Struct

CHUNK = 64 * 2**10
TIMEOUT_SECONDS = 30.0
SIZE_MAX = 16 * 2**30
Open = Callable[[int], tuple[Iterator[bytes], bool]]
"""From the byte to begin at to what comes, and whether it begins there: a server may ignore what was asked for."""


def _nothing(_done: int, _total: int) -> None:
    pass


class Link(Struct):
    """How transfers of one command behave."""

    rate: float | None = None
    """Bytes a second at most."""
    progress: Callable[[int, int], None] = _nothing
    """Told bytes so far and in all."""
    most: int | None = None
    """Bytes that artifacts may take on the disk."""
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], None] = sleep
    _owed: float = 0.0

    def paced(self, parts: Iterator[bytes], begun: int, total: int) -> Iterator[bytes]:
        """The same parts, no faster than the rate."""
        started, sent = self.clock(), 0
        for part in in_time(parts, self.clock):
            yield part
            sent += len(part)
            self.progress(begun + sent, total)
            if self.rate is not None and (ahead := sent / self.rate - (self.clock() - started)) > 0:
                self.sleep(ahead)


def fetch(blobs: Blobs, digest: str, size: int, open_at: Open, link: Link) -> None:
    """Bring a blob into the store, going on with what an earlier try has left. Raises `Refused` when what comes is not
    what the digest says, and OSError when it breaks off too often."""
    if not 0 <= size <= SIZE_MAX:
        raise Refused(f"{digest[:26]} is announced with {size} bytes; {SIZE_MAX} are the most")
    with _part(blobs, digest[7:]) as part:
        if not blobs.whole(digest):
            _all(part, size, open_at, link)
            blobs.adopt(part, digest, size)


@contextlib.contextmanager
def _part(blobs: Blobs, name: str) -> Iterator[Path]:
    """Where a transfer puts what comes, while no other one does. What broke off too often stays, for the next
    command; not what has filled the disk."""
    part = blobs.folder / f".part-{name}"
    with lock_file(blobs.folder / f".lock-{name[:2]}"):
        try:
            yield part
        except OSError as error:
            if is_full(error):
                part.unlink(missing_ok=True)
                raise Refused(f"disk: {error.strerror}; what had come of it is removed") from error
            raise


def _all(part: Path, size: int, open_at: Open, link: Link) -> None:
    """What is missing of it."""
    there = part.stat().st_size if part.exists() else 0
    require_room(part.parent, size, max(0, size - there), link.most)
    again(lambda: _go_on(part, size, open_at, link), link.sleep)


def _go_on(part: Path, size: int, open_at: Open, link: Link) -> None:
    begun = part.stat().st_size if part.exists() else 0
    if begun > size:
        part.unlink()
        begun = 0
    if begun == size:
        return
    parts, goes_on = open_at(begun)
    begun = begun if goes_on else 0
    with part.open("ab" if goes_on else "wb") as file:
        for some in link.paced(parts, begun, size):
            file.write(some)
            if file.tell() > size:
                raise Refused(f"more than the {size} bytes that were announced came")
        if file.tell() < size:
            raise ConnectionError(f"truncated: {file.tell()} of {size} bytes came")


class Answered(Struct, frozen=True):
    """What a web server says of a file without sending it."""

    size: int
    tag: str
    """Its ETag, else when it was last changed: equal as long as the file is the same. Empty where it says neither."""


def download(url: str, blobs: Blobs, link: Link) -> tuple[str, int]:
    """Bring a file into the store by HTTP, going on where an earlier try broke off; its digest and size. Raises
    `Refused` and OSError."""
    address, _ = urldefrag(url)
    found = again(lambda: look(address), link.sleep)
    name = hashlib.sha256(f"{address}\n{found.tag}\n{found.size}".encode()).hexdigest()
    with _part(blobs, name) as part:
        if not found.tag:  # what an earlier try left may be of another file
            part.unlink(missing_ok=True)
        _all(part, found.size, lambda begun: _http(address, begun, found.tag), link)
        return blobs.adopt(part, size=found.size)


def small(url: str, most: int) -> bytes:
    """A small file by HTTP, at once. Raises `Refused` and OSError."""
    with _opened(urllib.request.Request(urldefrag(url)[0])) as answer:  # noqa: S310 - the opener knows HTTP only
        data = whole(iter(lambda: answer.read1(CHUNK), b""), most)
    if len(data) > most:
        raise Refused(f"{url} has more than {most} bytes")
    return data


def look(url: str) -> Answered:
    """Ask for a file's size and tag, not for the file. Raises `Refused` and OSError."""
    address, _ = urldefrag(url)
    if urlsplit(address).scheme not in ("http", "https"):
        raise Refused(f"'{url}' is not an address of HTTP")
    with _opened(urllib.request.Request(address, method="HEAD")) as answer:  # noqa: S310 - the opener knows HTTP only
        length = answer.headers.get("Content-Length")
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    if length is None or not length.isdecimal() or int(length) > SIZE_MAX:
        raise Refused(f"{address} does not say how long it is, or is longer than {SIZE_MAX} bytes")
    return Answered(int(length), tag)


def _http(address: str, begun: int, tag: str) -> tuple[Iterator[bytes], bool]:
    headers = {"Range": f"bytes={begun}-", **({"If-Range": tag} if tag else {})} if begun else {}
    answer = _opened(urllib.request.Request(address, headers=headers))  # noqa: S310 - the opener knows HTTP only
    return _read(answer), answer.status == 206 or not begun


class _Redirects(urllib.request.HTTPRedirectHandler):
    """To HTTP only, and never from a secured connection to one that is not."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme != "https"):
            raise Refused(f"{req.full_url} leads to {newurl[:200]}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Plain(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(Plain, req)


class _Secured(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(Secured, req)


def opener() -> urllib.request.OpenerDirector:
    """One that knows HTTP and nothing else: no files, no FTP."""
    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.UnknownHandler(), _Plain(),
        urllib.request.HTTPDefaultErrorHandler(), _Redirects(), urllib.request.HTTPErrorProcessor(),
        _Secured(),
    ):  # fmt: skip
        made.add_handler(handler)
    return made


def _opened(request: urllib.request.Request) -> Any:
    try:
        return opener().open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        words = f"{request.full_url} answered {error.code} {error.reason}"
        with error:
            if error.code in BUSY:
                raise busy(words, error.headers.get("Retry-After")) from None
            raise Refused(words) from None
    except http.client.HTTPException as error:
        raise ConnectionError(f"{request.full_url} answered nonsense: {error!r}") from None


def _read(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Raises OSError for what breaks off, whatever the library raises."""
    try:
        with answer:
            yield from iter(lambda: answer.read1(CHUNK), b"")
    except http.client.HTTPException as error:
        raise ConnectionError(f"broke off: {error!r}") from None
