"""Bytes on their way: bounded in rate for metered links, resumed where they broke off, told to whoever watches."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any
from urllib.parse import urldefrag, urlsplit

from flowrt.registry.blobs import Blobs, Refused
from flowrt.registry.files import make_folder

CHUNK = 64 * 2**10
TRIES = 5
"""How often a transfer that broke off goes on from where it was."""
TIMEOUT_SECONDS = 30.0
SIZE_MAX = 16 * 2**30
Open = Callable[[int], tuple[Iterator[bytes], bool]]
"""From the byte to begin at to what comes, and whether it begins there: a server may ignore what was asked for."""


def _nothing(_done: int, _total: int) -> None:
    pass


@dataclass(slots=True)
class Link:
    """How transfers of one command behave."""

    rate: float | None = None
    """Bytes a second at most."""
    progress: Callable[[int, int], None] = _nothing
    """Told bytes so far and in all."""
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], None] = sleep
    _owed: float = field(default=0.0, init=False)

    def paced(self, parts: Iterator[bytes], begun: int, total: int) -> Iterator[bytes]:
        """The same parts, no faster than the rate."""
        started, sent = self.clock(), 0
        for part in parts:
            yield part
            sent += len(part)
            self.progress(begun + sent, total)
            if self.rate is not None and (ahead := sent / self.rate - (self.clock() - started)) > 0:
                self.sleep(ahead)


def fetch(blobs: Blobs, digest: str, size: int, open_at: Open, link: Link) -> None:
    """Bring a blob into the store, going on with what an earlier try has left. Raises `Refused` when what comes is not
    what the digest says, and OSError when it breaks off too often."""
    if blobs.whole(digest):
        return
    if not 0 <= size <= SIZE_MAX:
        raise Refused(f"{digest[:26]} is announced with {size} bytes; {SIZE_MAX} are the most")
    part = blobs.path(digest).with_name(f".part-{digest[7:]}")
    make_folder(part.parent)
    for left in reversed(range(TRIES)):
        try:
            _go_on(part, size, open_at, link)
            break
        except OSError:
            if not left:
                raise
            link.sleep(0.2 * (TRIES - left))
    try:
        blobs.put_parts(_parts_of(part), digest, size)
    finally:
        part.unlink(missing_ok=True)


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


def _parts_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(CHUNK), b"")


def download(url: str, folder: Path, link: Link) -> bytes:
    """A file by HTTP, going on where it broke off. Raises `Refused` and OSError."""
    address, _ = urldefrag(url)
    if urlsplit(address).scheme not in ("http", "https"):
        raise Refused(f"'{url}' is not an address of HTTP")
    total = _length(address)
    part = folder / ".part-download"
    make_folder(folder)
    part.unlink(missing_ok=True)
    try:
        for left in reversed(range(TRIES)):
            try:
                _go_on(part, total, lambda begun: _http(address, begun), link)
                break
            except OSError:
                if not left:
                    raise
                link.sleep(0.2 * (TRIES - left))
        return part.read_bytes() if part.exists() else b""
    finally:
        part.unlink(missing_ok=True)


def _length(address: str) -> int:
    with _opened(urllib.request.Request(address, method="HEAD")) as answer:  # noqa: S310 - the scheme was checked
        length = answer.headers.get("Content-Length")
    if length is None or not length.isdecimal() or int(length) > SIZE_MAX:
        raise Refused(f"{address} does not say how long it is, or is longer than {SIZE_MAX} bytes")
    return int(length)


def _http(address: str, begun: int) -> tuple[Iterator[bytes], bool]:
    headers = {"Range": f"bytes={begun}-"} if begun else {}
    answer = _opened(urllib.request.Request(address, headers=headers))  # noqa: S310 - the scheme was checked
    return _read(answer), answer.status == 206 or not begun


def _opened(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310 - the scheme was checked
    except urllib.error.HTTPError as error:
        raise Refused(f"{request.full_url} answered {error.code} {error.reason}") from None


def _read(answer: IO[bytes]) -> Iterator[bytes]:
    with answer:
        yield from iter(lambda: answer.read(CHUNK), b"")
