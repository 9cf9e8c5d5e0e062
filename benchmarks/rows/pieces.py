"""Where each microsecond of the pipeline goes: its pieces one by one, in this process, at several sizes of batches.

The same code as in `flowrt run`, from the bytes of PUBLISH packets to such bytes, and the kernel's part over a loopback
connection. A batch of one is what a message costs that comes alone; the last column is what is left when fixed costs
are shared.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.alternating import alternate
from benchmarks.client import publish
from benchmarks.load import READING
from benchmarks.models.make_net import PATH as MODEL
from benchmarks.parts import Parts, nowhere, parts
from benchmarks.report import Row
from benchmarks.settings import Settings
from flowrt.endpoints.mqtt.envelope import write_5
from flowrt.endpoints.mqtt.frames import Envelope, encode_0
from flowrt.endpoints.mqtt.scan import Scanner
from flowrt.endpoints.mqtt.transport import READ_BYTES, joined
from flowrt.message import Batch, Head
from flowrt.runtime.inbox import Inbox
from flowrt.testing import batch_of

GROUP = "micro"
BATCHES = (1, 8, 64, 256)
TIMES = 20
"""Calls of one piece before the next has its turn."""
Piece = Callable[[], object]


def pieces(settings: Settings) -> list[Row]:
    """CPU microseconds a message of each piece, at each size of batches."""
    found = []
    with parts() as made, loopback() as (near, far):
        all_jobs = {(name, size): job for size in BATCHES for name, job in jobs(made, size, near, far)[1].items()}
        shown = alternate(settings, all_jobs, TIMES)
    for (name, size), values in shown.items():
        measure = f"a message, in batches of {size}"
        found.append(Row(GROUP, f"pipeline, {name}", measure, "µs", tuple(value / size for value in values)))
    return sorted(found, key=lambda row: ORDER.index(row.work.partition(", ")[2]))


ORDER = (
    "kernel: send and receive",
    "read PUBLISH packets",
    "hand over to the stage",
    "parse: frame in, guest, result out",
    "network: rows to tensor, run, rows",
    "score: frame in, guest, result out",
    "all three nodes, with quotas and counters",
    "write PUBLISH packets",
)


def jobs(made: Parts, size: int, near: socket.socket, far: socket.socket) -> tuple[Batch, dict[str, Piece]]:
    """The readings that the nodes are given, and the pieces by name, in `ORDER`."""
    packets = publish("in/a", READING) * size
    parse, network, score = made.map("bench-parse"), made.inference(MODEL), made.map("bench-score")
    readings = batch_of([READING] * size)
    tensors = parse.process(readings).ports[0]
    results = network.process(tensors).ports[0] if tensors else None
    verdicts = score.process(results).ports[0] if results else None
    if tensors is None or results is None or verdicts is None:
        raise AssertionError("the pipeline gives nothing")
    envelope = Envelope(*write_5("out/x", Head("out/x"), None), qos=0, retain=False)
    chain = made.chain([parse, network, score], nowhere)
    found: list[Piece] = [
        partial(_through, near, far, packets),
        partial(Scanner(five=True, maximum_packet=2**20).feed, packets),
        partial(_handed_over, Inbox(10_000, 2**24), readings),
        partial(parse.process, readings),
        partial(network.process, tensors),
        partial(score.process, results),
        partial(chain.accept, readings),
        partial(_written, envelope, verdicts),
    ]
    return readings, dict(zip(ORDER, found, strict=True))


def _through(near: socket.socket, far: socket.socket, packets: bytes) -> None:
    near.sendall(packets)
    left = len(packets)
    while left:
        left -= len(far.recv(READ_BYTES))


def _handed_over(inbox: Inbox, batch: Batch) -> None:
    inbox.put(batch)
    inbox.take(len(batch))


def _written(envelope: Envelope, batch: Batch) -> bytes:
    return joined(encode_0(envelope, batch.payloads))[0]


@contextmanager
def loopback() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        with far:
            yield near, far
