"""The pipeline against its floor and its peers: throughput, processor time, memory, latency, start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from compileall import compile_dir
from dataclasses import dataclass, field
from statistics import median

from benchmarks import systems
from benchmarks.broker import Broker
from benchmarks.load import Latency, first_verdict, latency_load, mosquitto_load
from benchmarks.processes import BenchError
from benchmarks.report import Row, broken, ratios
from benchmarks.rows import quotas
from benchmarks.settings import Settings
from benchmarks.systems import System, running

GROUP = "pipeline"
LOADS = 3
"""Loads a round in one process: the first one warms up, the median counts, and memory is read after the last."""
PIPELINE = "pipeline, QoS 0"
PIPELINE_QOS1 = "pipeline, QoS 1"


@dataclass
class Rounds:
    """What every round showed of one system."""

    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)


def rows(broker: Broker, settings: Settings) -> list[Row]:
    """All rows of this group."""
    found: list[Row] = []
    parts: Mapping[str, Callable[[Broker, Settings], list[Row]]] = {
        "throughput": throughput,
        "qos1": throughput_qos1,
        "quotas": quotas.rows,
        "latency": latency,
        "start": start,
    }
    for name, part in parts.items():
        if settings.wants(name):
            try:
                found += part(broker, settings)
            except BenchError as error:
                settings.say(f"{name}: {error}")
                found.append(broken(GROUP, name, str(error)))
    return found


def throughput(broker: Broker, settings: Settings) -> list[Row]:
    """Messages a second and processor time a message, beside echo, Node-RED and the script."""
    makers = [systems.pipeline, systems.bare_echo, systems.flowrt_echo, systems.node_red, systems.thirty_lines]
    ready, missing = _available(makers, settings)
    shown = _alternate(broker, settings, ready, 0)
    flowrt, echo = shown["flowrt"], shown["bare echo"]
    found = [
        Row(GROUP, PIPELINE, "messages/s", "", tuple(flowrt.rate)),
        Row(GROUP, PIPELINE, "CPU a message", "µs", tuple(flowrt.cpu)),
        Row(GROUP, "bare echo, QoS 0", "messages/s", "", tuple(echo.rate)),
        Row(GROUP, "bare echo, QoS 0", "CPU a message", "µs", tuple(echo.cpu)),
        Row(GROUP, PIPELINE, "messages/s against the bare echo", "×", ratios(flowrt.rate, echo.rate), at_least=0.75),
        Row(GROUP, PIPELINE, "CPU a message against the bare echo", "×", ratios(flowrt.cpu, echo.cpu), at_most=2.2),
    ]
    for name, resident in (("Node-RED", 0.5), ("paho script", None)):
        measure = f"messages/s against {name}"
        if name not in shown:
            found.append(Row(GROUP, PIPELINE, measure, "×", (), at_least=2.5, note=missing[name]))
            continue
        peer = shown[name]
        found.append(Row(GROUP, f"{name}, QoS 0", "messages/s", "", tuple(peer.rate)))
        found.append(Row(GROUP, f"{name}, QoS 0", "CPU a message", "µs", tuple(peer.cpu)))
        found.append(Row(GROUP, PIPELINE, measure, "×", ratios(flowrt.rate, peer.rate), at_least=2.5))
        memory = f"resident after {LOADS} loads of {settings.messages:,} against {name}"
        found.append(Row(GROUP, PIPELINE, memory, "×", ratios(flowrt.resident, peer.resident), at_most=resident))
    found.append(Row(GROUP, PIPELINE, f"resident after {LOADS} loads", "MB", tuple(flowrt.resident)))
    against = ratios(shown["flowrt echo"].cpu, echo.cpu)
    found.append(Row(GROUP, "echo graph", "CPU a message against the bare echo", "×", against, at_most=1.6))
    return found


def throughput_qos1(broker: Broker, settings: Settings) -> list[Row]:
    """Both ends at QoS 1; Node-RED acknowledges when a message arrives, flowrt and the echo when its result is out."""
    ready, missing = _available([systems.pipeline, systems.bare_echo, systems.node_red], settings, 1)
    shown = _alternate(broker, settings, ready, 1)
    flowrt, echo = shown["flowrt"], shown["bare echo"]
    found = [
        Row(GROUP, PIPELINE_QOS1, "messages/s", "", tuple(flowrt.rate)),
        Row(GROUP, PIPELINE_QOS1, "CPU a message", "µs", tuple(flowrt.cpu)),
        Row(GROUP, PIPELINE_QOS1, "messages/s against the bare echo at QoS 1", "×", ratios(flowrt.rate, echo.rate)),
        Row(
            GROUP,
            PIPELINE_QOS1,
            "CPU a message against the bare echo at QoS 1",
            "×",
            ratios(flowrt.cpu, echo.cpu),
            at_most=3.0,
        ),
    ]
    peer = shown.get("Node-RED")
    values = ratios(flowrt.rate, peer.rate) if peer else ()
    note = "" if peer else missing["Node-RED"]
    found.append(Row(GROUP, PIPELINE_QOS1, "messages/s against Node-RED at QoS 1", "×", values, at_least=2, note=note))
    return found


def latency(broker: Broker, settings: Settings) -> list[Row]:
    """From publish to verdict at a steady rate well below what either can do."""
    ready, missing = _available([systems.pipeline, systems.node_red, systems.bare_echo], settings)
    shown: dict[str, list[Latency]] = {name: [] for name in ready}
    for turn in settings.turns():
        for name, system in ready.items():
            settings.say(f"latency round {turn}: {name}")
            with running(system, broker) as process:
                settled = latency_load(settings.rate, settings.seconds)
                process.check()
            shown[name].append(settled)
    work = f"pipeline at {settings.rate:,} messages/s"
    found = []
    for quantile, most in (("p50", 1.5), ("p99", 5.0)):
        own = tuple(getattr(figure, quantile) for figure in shown["flowrt"])
        found.append(Row(GROUP, work, f"{quantile} from publish to verdict", "ms", own, at_most=most))
        floor = tuple(getattr(figure, quantile) for figure in shown["bare echo"])
        found.append(Row(GROUP, "bare echo", f"{quantile} from publish to result", "ms", floor))
        peer = tuple(getattr(figure, quantile) for figure in shown.get("Node-RED", []))
        found.append(
            Row(
                GROUP, work, f"{quantile} against Node-RED", "×", ratios(own, peer) if peer else (), at_most=1,
                note=missing.get("Node-RED", ""),
            )
        )  # fmt: skip
    return found


def start(broker: Broker, settings: Settings) -> list[Row]:
    """From the start of the process to the first verdict; flowrt's compiled code is cached by a first start, and its
    bytecode is there as pip leaves it, even where the environment forbids a first start to write it."""
    compile_dir(systems.HERE.parent / "flowrt", quiet=1)
    ready, missing = _available([systems.pipeline, systems.node_red, systems.thirty_lines], settings)
    for system in ready.values():  # caches: compiled guests, bytecode, the disk
        _first(system, broker)
    compiled = _compiled()
    shown: dict[str, list[float]] = {name: [] for name in ready}
    for turn in settings.turns():
        for name, system in ready.items():
            settings.say(f"start round {turn}: {name}")
            shown[name].append(_first(system, broker))
    own = tuple(shown["flowrt"])
    peer = tuple(shown.get("Node-RED", ()))
    measure = "process start to first verdict"
    found = [Row(GROUP, "pipeline", measure, "s", own, at_most=0.6)]
    found += [Row(GROUP, name, measure, "s", tuple(values)) for name, values in shown.items() if name != "flowrt"]
    against = ratios(own, peer) if peer else ()
    note = missing.get("Node-RED", "")
    fresh = (float(len(_compiled() - compiled)),) if compiled else ()
    found.append(Row(GROUP, "pipeline", "modules compiled by a second start", "", fresh, at_most=0, note="no cache"))
    return [*found, Row(GROUP, "pipeline", f"{measure}, against Node-RED", "×", against, at_most=1, note=note)]


def _compiled() -> set[tuple[str, int]]:
    """The files of compiled code; one that is written again is another (its time says only when it was last used)."""
    return {(path.name, path.stat().st_ino) for path in systems.CACHE.rglob("*.code")}


def _first(system: System, broker: Broker) -> float:
    broker.restart()
    process = system.process()
    try:
        return first_verdict(process)
    finally:
        process.close()


def _available(
    makers: list[Callable[..., System]], settings: Settings, *arguments: int
) -> tuple[dict[str, System], dict[str, str]]:
    """The systems that can run here by name, and why the others cannot. flowrt and the echo must."""
    ready: dict[str, System] = {}
    missing: dict[str, str] = {}
    for maker in makers:
        try:
            system = maker(*arguments)
        except BenchError as reason:
            if maker is not systems.node_red:
                raise
            settings.say(f"left out: {reason}")
            missing["Node-RED"] = str(reason)
            continue
        ready[system.name] = system
    return ready, missing


def _alternate(broker: Broker, settings: Settings, ready: Mapping[str, System], qos: int) -> dict[str, Rounds]:
    """A B C A B C …: every round starts each system anew and loads it `LOADS` times."""
    shown = {name: Rounds() for name in ready}
    for turn in settings.turns():
        for name, system in ready.items():
            with running(system, broker) as process:
                loads = [mosquitto_load(broker, process, settings.messages, qos) for _ in range(LOADS)]
                resident = process.resident_bytes() / 1e6
            rounds = shown[name]
            rounds.rate.append(median(load.rate for load in loads))
            rounds.cpu.append(median(load.cpu for load in loads))
            rounds.resident.append(resident)
            settings.say(
                f"QoS {qos} round {turn}: {name}: {rounds.rate[-1]:,.0f} messages/s, {rounds.cpu[-1]:.1f} µs CPU a "
                f"message, {resident:.0f} MB"
            )
    return shown
