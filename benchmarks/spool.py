"""What a spool costs and survives: flowrt's log of segments beside SQLite (WAL, synchronous=FULL), on one disk.

    python -m benchmarks.spool [--messages 20000] [--cuts 20]

As root it makes an ext4 file system in a loop device: what the device was asked to write, the journal included, is what
flash wears out by. A power cut is a copy of the device's image, taken while the writer is stopped in the middle of its
work: what had not been synced is missing from it. Then the copy is mounted, its journal recovered, and every message
counted that had been reported as durable. Without root the bytes are the kernel's count for the process, and no power
is cut.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from flowrt.delivery.spool.log import SpoolLog
from flowrt.message import Head

IMAGE_MIB = 512
PAYLOAD_BYTES = 200
HEADS = [Head(f"plant/{line}/pump") for line in range(8)]


class Log:
    """flowrt's."""

    def __init__(self, folder: Path) -> None:
        self._log = SpoolLog(folder / "log")

    def put(self, heads: Sequence[Head], payloads: Sequence[bytes]) -> None:
        self._log.append(heads, payloads)

    def drain(self) -> Iterator[bytes]:
        """Every message in order; each frame is given up before the next is read."""
        count = 0
        while (frame := self._log.take()) is not None:
            yield from frame.payloads
            self._log.tracker.settle(frame.seqs)
            count += 1
            if count % 64 == 0:
                self._log.tidy()
        self._log.tidy()

    def close(self) -> None:
        self._log.close()


class Sqlite:
    """One table; a put and each hundred given up are one transaction."""

    def __init__(self, folder: Path) -> None:
        self._db = sqlite3.connect(folder / "spool.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE IF NOT EXISTS spool (id INTEGER PRIMARY KEY, topic TEXT, payload BLOB)")

    def put(self, heads: Sequence[Head], payloads: Sequence[bytes]) -> None:
        rows = [(head.topic, payload) for head, payload in zip(heads, payloads, strict=True)]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO spool (topic, payload) VALUES (?, ?)", rows)
        self._db.execute("COMMIT")

    def drain(self) -> Iterator[bytes]:
        """As `Log.drain`."""
        while rows := self._db.execute("SELECT id, payload FROM spool ORDER BY id LIMIT 100").fetchall():
            yield from (payload for _, payload in rows)
            self._db.execute("DELETE FROM spool WHERE id <= ?", (rows[-1][0],))

    def close(self) -> None:
        self._db.close()


STORES = {"log": Log, "sqlite": Sqlite}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--write", nargs=2, metavar=("STORE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        _write_for_ever(*options.write)
        return
    root = os.getuid() == 0
    print(f"{'store':7} {'batch':>5} {'in, msg/s':>10} {'out, msg/s':>10} {'B/msg in':>9} {'B/msg in+out':>12}")
    for batch in (1, 10, 100):
        for name in STORES:
            _measure(name, options.messages if batch > 1 else options.messages // 10, batch, root=root)
    if root:
        print(f"\n{'store':7} {'cuts':>4} {'durable':>8} {'lost':>6} {'unreadable':>10} {'out of order':>12}")
        for name in STORES:
            _cut_power(name, options.cuts)


def _measure(name: str, messages: int, batch: int, *, root: bool) -> None:
    with _disk(root=root) as (folder, device):
        store = STORES[name](folder)
        heads = [HEADS[i % len(HEADS)] for i in range(batch)]
        before = _written(device)
        started = time.perf_counter()
        for first in range(0, messages, batch):
            store.put(heads, [_payload(first + i) for i in range(batch)])
        entered = time.perf_counter()
        _sync(folder)
        middle = _written(device)
        draining = time.perf_counter()
        count = sum(1 for _ in store.drain())
        drained = time.perf_counter()
        store.close()
        _sync(folder)
        after = _written(device)
        assert count == messages, (count, messages)
    into, out = messages / (entered - started), messages / (drained - draining)
    print(
        f"{name:7} {batch:5} {into:10,.0f} {out:10,.0f} {(middle - before) / messages:9,.0f} "
        f"{(after - before) / messages:12,.0f}", flush=True,
    )  # fmt: skip


def _cut_power(name: str, cuts: int) -> None:
    durable = lost = unreadable = disordered = 0
    for cut in range(cuts):
        with _disk(root=True) as (folder, device), tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, "-m", "benchmarks.spool", "--write", name, str(folder)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout is not None
                wanted, said = 200 + 397 * cut, 0
                while said < wanted:
                    said = int(writer.stdout.readline())
                writer.send_signal(signal.SIGSTOP)
                image = Path(scratch) / "after"
                shutil.copyfile(_backing(device), image)
                writer.kill()
                said = max([said, *map(int, writer.stdout.read().split())])
            durable += said
            try:
                with _mounted(image) as survived:
                    store = STORES[name](survived)
                    numbers = [int(payload[:12]) for payload in store.drain()]
                    store.close()
            except (OSError, sqlite3.Error, subprocess.CalledProcessError):
                unreadable += 1
                continue
            lost += len(set(range(said)) - set(numbers))
            disordered += numbers != sorted(numbers)
    print(f"{name:7} {cuts:4} {durable:8,} {lost:6,} {unreadable:10} {disordered:12}", flush=True)


def _write_for_ever(name: str, folder: str) -> None:
    """Say after each put how many messages are durable."""
    store = STORES[name](Path(folder))
    count = 0
    while count < 100_000:
        size = 1 + count % 37
        store.put([HEADS[0]] * size, [_payload(count + i) for i in range(size)])
        count += size
        print(count, flush=True)


def _payload(number: int) -> bytes:
    return b"%012d" % number + b"x" * (PAYLOAD_BYTES - 12)


def _written(device: str) -> int:
    """Bytes written so far: to the device, or by this process where there is none of its own."""
    if device:
        sectors = Path(f"/sys/block/{Path(device).name}/stat").read_text().split()[6]
        return int(sectors) * 512
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"])


def _sync(folder: Path) -> None:
    subprocess.run(["sync", "-f", str(folder)], check=True)


def _backing(device: str) -> Path:
    return Path(Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip())


@contextlib.contextmanager
def _disk(*, root: bool) -> Iterator[tuple[Path, str]]:
    """An empty folder, and the device it is on."""
    with tempfile.TemporaryDirectory() as scratch:
        if not root:
            yield Path(scratch), ""
            return
        image = Path(scratch) / "image"
        with image.open("wb") as file:
            file.truncate(IMAGE_MIB * 2**20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
        with _mounted(image) as folder:
            device = subprocess.run(
                ["findmnt", "-n", "-o", "SOURCE", str(folder)], check=True, capture_output=True, text=True
            ).stdout.strip()
            yield folder, device


@contextlib.contextmanager
def _mounted(image: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-o", "loop", str(image), place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


if __name__ == "__main__":
    main()
