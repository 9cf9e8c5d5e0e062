"""Loads: how messages are put in and how their results are counted."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.broker import HOST, PORT, Broker
from benchmarks.client import Client, encoded, publish
from benchmarks.models.make_net import score
from benchmarks.processes import BenchError, Process

READING = b'{"v":[' + b",".join(b"%.3f" % (i * 0.37) for i in range(16)) + b"]}"
"""105 bytes of JSON with 16 numbers."""
LOAD_SECONDS = 300.0
"""No load runs longer."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What one load showed."""

    rate: float
    """Messages a second, from the start of the publisher to the last result counted."""
    cpu: float
    """CPU microseconds a message of the system under test, user and system, all threads."""


def mosquitto_load(broker: Broker, system: Process, count: int, qos: int = 0, payload: bytes = READING) -> Throughput:
    """`count` readings through `mosquitto_pub -l`, counted by `mosquitto_sub -C`: two C programs, so that the load
    costs little of the cores."""
    return mosquitto_loads(broker, [system], count, qos, payload)[0]


def mosquitto_loads(
    broker: Broker, systems: Sequence[Process], count: int, qos: int = 0, payload: bytes = READING
) -> list[Throughput]:
    """The same for several systems that get all readings at the same time; what each showed."""
    expected = count * len(systems)
    counter = _counter(expected)
    before = broker.subscriptions("out/#")
    with tempfile.NamedTemporaryFile("wb") as lines, counter:
        lines.write((payload + b"\n") * count)
        lines.flush()
        broker.wait_subscribed("out/#", before, counter)
        cpu, started = [system.cpu_seconds() for system in systems], time.monotonic()
        shell = 'exec mosquitto_pub -V mqttv5 -h "$1" -p "$2" -t in/a -l -q "$3" <"$4"'
        with Process("mosquitto_pub", ["sh", "-c", shell, "sh", HOST, str(PORT), str(qos), lines.name]) as publisher:
            publisher.wait(LOAD_SECONDS)
            _await_all(counter, systems, expected)
        return [_measured(system, count, started, used) for system, used in zip(systems, cpu, strict=True)]


def packet_load(broker: Broker, system: Process, topics: Sequence[str], payload: bytes) -> Throughput:
    """One message to each of `topics` in turn, encoded beforehand, sent in one piece."""
    counter = _counter(len(topics))
    packets = encoded(topics, payload)
    before = broker.subscriptions("out/#")
    with counter, Client("bench-load") as client:
        broker.wait_subscribed("out/#", before, counter)
        cpu, started = system.cpu_seconds(), time.monotonic()
        client.send(packets)
        _await_all(counter, [system], len(topics))
        return _measured(system, len(topics), started, cpu)


def _counter(count: int) -> Process:
    """Ends by itself once `count` messages have come out."""
    stdbuf = [] if shutil.which("stdbuf") is None else ["stdbuf", "-o1M"]
    command = ["mosquitto_sub", "-h", HOST, "-p", str(PORT), "-t", "out/#", "-C", str(count), "-q", "0", "-F", "%l"]
    return Process("the counting subscriber", [*stdbuf, *command])


def _await_all(counter: Process, systems: Sequence[Process], count: int) -> None:
    try:
        counter.wait(LOAD_SECONDS)
    except BenchError:
        for system in systems:
            system.check()
        came, names = len(counter.output().splitlines()), " and ".join(system.name for system in systems)
        raise BenchError(f"{names}: about {came} of {count} messages came out within {LOAD_SECONDS:.0f} s") from None


def _measured(system: Process, count: int, started: float, cpu: float) -> Throughput:
    elapsed = time.monotonic() - started
    return Throughput(count / elapsed, (system.cpu_seconds() - cpu) / count * 1e6)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from publish to verdict."""

    p50: float
    p99: float
    max: float


def latency_load(rate: int, seconds: float, warm_up: float = 1.0) -> Latency:
    """Publish at a steady rate, whatever comes back when; results of one topic come in order, so the n-th answers the
    n-th. The warm-up's messages are not counted."""
    packet = publish("in/a", READING)
    total = int(rate * (seconds + warm_up))
    sent: list[float] = []
    came: list[float] = []
    with Client("bench-latency", "out/#") as client:
        start = time.perf_counter()
        until = start + seconds + warm_up + 10
        while len(came) < total and time.perf_counter() < until:
            due = start + len(sent) / rate if len(sent) < total else until
            if time.perf_counter() >= due:
                sent.append(time.perf_counter())
                client.send(packet)
                continue
            results = client.payloads(due - time.perf_counter())
            came += [time.perf_counter()] * len(results)
    if len(came) < total:
        raise BenchError(f"{len(came)} of {total} verdicts came at {rate} messages a second")
    skip = int(rate * warm_up)
    delays = sorted((out - at) * 1e3 for at, out in zip(sent[skip:], came[skip:], strict=True))
    return Latency(delays[len(delays) // 2], delays[math.ceil(len(delays) * 0.99) - 1], delays[-1])


def first_verdict(system: Process, timeout: float = 60.0) -> float:
    """Start `system`; seconds from then to its first verdict, publishing every 5 ms from the start on."""
    packet = publish("in/a", READING)
    with Client("bench-first", "out/#") as client:
        system.start()
        until = system.started + timeout
        while time.monotonic() < until:
            client.send(packet)
            if client.payloads(0.005):
                return time.monotonic() - system.started
            system.check()
    raise BenchError(f"{system.name} gave no verdict within {timeout:.0f} s")


def check_verdict(system: Process) -> None:
    """Raise `BenchError` unless the system computes what the definition of the job says, to one in ten thousand."""
    values = [(-1.0) ** i * i * 40 for i in range(16)]
    with Client("bench-check", "out/#") as client:
        client.send(publish("in/a", json.dumps({"v": values}).encode()))
        verdicts = client.payloads(10)
    if not verdicts:
        raise BenchError(f"{system.name} gave no verdict within 10 s:\n{system.output()[-2000:]}")
    expected = score(values)
    verdict = json.loads(verdicts[0])
    right = math.isclose(verdict["score"], expected, rel_tol=1e-4) and verdict["anomaly"] == (expected > 5)
    if not right:
        raise BenchError(f"{system.name} computes {verdict}, the definition says {expected}")
