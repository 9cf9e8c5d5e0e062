"""Rules without a module: what they cost a message in this process, and beside Node-RED's nodes for the same job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import systems
from benchmarks.alternating import alternate
from benchmarks.broker import Broker
from benchmarks.client import Client, publish
from benchmarks.load import mosquitto_load
from benchmarks.parts import nowhere, parts
from benchmarks.processes import BenchError, Process
from benchmarks.report import Row, broken, ratios
from benchmarks.rows.micro import TIMES
from benchmarks.settings import Settings
from benchmarks.systems import System, running
from flowrt.counters import NodeCounters
from flowrt.graph.reading import read
from flowrt.operators.transform import TransformOperation
from flowrt.runtime.node import Node
from flowrt.runtime.transforms import transform_operator
from flowrt.state.store import StateStore
from flowrt.testing import batch_of

GROUP = "transforms"
GRAPH = systems.HERE / "transforms.yaml"
WORK = "filter, map of five rules and branch on 200 B of JSON"
MICROSECONDS = 25.0
TIMES_NODE_RED = 3.0
BATCHES = (1, 64)
LOADS = 3
"""Loads of one process, of which the median counts."""
READING = {
    "deviceId": "pump-17", "temperature": 71.5, "pressure": 88.25, "line": "line-4", "station": "station-12",
    "severity": 3, "vibration": [0.011, 0.013, 0.009], "status": "running", "sequence": 123456,
}  # fmt: skip
PAYLOAD = json.dumps(READING).encode()
MADE = {
    "id": "pump-17", "temperature_f": 160.7, "pressure_bar": 6.085, "place": "line-4/station-12", "severity": 3,
}  # fmt: skip


def rows(broker: Broker, settings: Settings) -> list[Row]:
    """All rows of this group."""
    found = in_process(settings) if settings.wants("process") else []
    if settings.wants("throughput"):
        try:
            found += throughput(broker, settings)
        except BenchError as error:
            settings.say(f"throughput: {error}")
            found.append(broken(GROUP, "throughput", str(error)))
    return found


def in_process(settings: Settings) -> list[Row]:
    """Three nodes in one stage, with all that surrounds an operator, without a broker."""
    graph = read(GRAPH.read_bytes(), str(GRAPH), {}, {}).graph
    if graph is None:
        raise BenchError(f"{GRAPH} cannot be read")
    operations = [each for each in graph.file.operations if isinstance(each, TransformOperation)]
    with parts() as made:
        operators = [transform_operator(each, GRAPH.parent, StateStore, counters=NodeCounters()) for each in operations]
        chain = made.chain(operators, nowhere)
        shown = alternate(settings, {size: partial(_pass, chain, size) for size in BATCHES}, TIMES)
    return [
        Row(GROUP, f"{WORK}, {size} at once", "CPU a message", "µs", tuple(value / size for value in values),
            at_most=MICROSECONDS if size > 1 else None)
        for size, values in shown.items()
    ]  # fmt: skip


def _pass(chain: Node, size: int) -> None:
    """A batch of payloads that no node has seen, as they come from a broker."""
    chain.accept(batch_of([bytes(bytearray(PAYLOAD)) for _ in range(size)]))


def throughput(broker: Broker, settings: Settings) -> list[Row]:
    """Messages a second through the broker, QoS 0, flowrt and Node-RED in turns."""
    ready, missing = {"flowrt": systems.flowrt(GRAPH, verdicts=False)}, ""
    try:
        ready["Node-RED"] = node_red()
    except BenchError as reason:
        settings.say(f"left out: {reason}")
        missing = str(reason)
    shown = _alternate(broker, settings, ready)
    flowrt = [rate for rate, _ in shown["flowrt"]]
    found = [
        Row(GROUP, WORK, "messages/s", "", tuple(flowrt)),
        Row(GROUP, WORK, "CPU a message, MQTT included", "µs", tuple(cpu for _, cpu in shown["flowrt"])),
    ]
    measure = "messages/s against Node-RED"
    if "Node-RED" not in shown:
        return [*found, Row(GROUP, WORK, measure, "×", (), at_least=TIMES_NODE_RED, note=missing)]
    peer = [rate for rate, _ in shown["Node-RED"]]
    return [
        *found,
        Row(GROUP, "Node-RED: switch, change, function and switch", "messages/s", "", tuple(peer)),
        Row(GROUP, "Node-RED: switch, change, function and switch", "CPU a message", "µs",
            tuple(cpu for _, cpu in shown["Node-RED"])),
        Row(GROUP, WORK, measure, "×", ratios(flowrt, peer), at_least=TIMES_NODE_RED),
    ]  # fmt: skip


def node_red() -> System:
    """Node-RED with the same job as a flow. Raises `BenchError` where there is no Node.js or no npm registry."""
    return systems.node_red_with("node-red-transforms", _flow(), verdicts=False)


def _flow() -> Sequence[Mapping[str, object]]:
    """MQTT in, JSON; a switch that drops, a change and a function that reshape, a switch with two ways; MQTT out."""
    function = (Path(systems.HERE) / "peers/nodered/shape.js").read_text()

    def copied(name: str, to: str) -> dict[str, str]:
        return {"t": "set", "p": f"made.{to}", "pt": "msg", "to": f"payload.{name}", "tot": "msg"}

    def switch(name: str, prop: str, rules: list[dict[str, str]], wires: list[list[str]]) -> dict[str, object]:
        return {
            "id": name, "type": "switch", "z": "b-flow", "property": prop, "propertyType": "msg", "rules": rules,
            "checkall": "false", "repair": False, "outputs": len(rules), "wires": wires,
        }  # fmt: skip

    return [
        *systems.node_red_ends("0", "b-sound"),
        switch("b-sound", "payload.temperature", [{"t": "lte", "v": "1000", "vt": "num"}], [["b-copy"]]),
        {
            "id": "b-copy", "type": "change", "z": "b-flow",
            "rules": [
                {"t": "set", "p": "made", "pt": "msg", "to": "{}", "tot": "json"},
                copied("deviceId", "id"),
                copied("severity", "severity"),
            ],
            "wires": [["b-shape"]],
        },
        {"id": "b-shape", "type": "function", "z": "b-flow", "func": function, "outputs": 1, "wires": [["b-urgent"]]},
        switch(
            "b-urgent", "payload.severity",
            [{"t": "gt", "v": "5", "vt": "num"}, {"t": "else"}], [["b-alert"], ["b-out"]],
        ),
        {
            "id": "b-alert", "type": "change", "z": "b-flow",
            "rules": [{"t": "set", "p": "topic", "pt": "msg", "to": "out/alert", "tot": "str"}],
            "wires": [["b-out"]],
        },
    ]  # fmt: skip


def _alternate(broker: Broker, settings: Settings, ready: Mapping[str, System]) -> dict[str, list[tuple[float, float]]]:
    """Every round starts each system anew, asks it for known results and loads it."""
    shown: dict[str, list[tuple[float, float]]] = {name: [] for name in ready}
    for turn in settings.turns():
        for name, system in ready.items():
            with running(system, broker) as process:
                check(process)
                loads = [mosquitto_load(broker, process, settings.messages, payload=PAYLOAD) for _ in range(LOADS)]
            shown[name].append((median(load.rate for load in loads), median(load.cpu for load in loads)))
            rate, cpu = shown[name][-1]
            settings.say(f"transforms round {turn}: {name}: {rate:,.0f} messages/s, {cpu:.1f} µs CPU a message")
    return shown


def check(system: Process) -> None:
    """Raise `BenchError` unless a hot reading is dropped, and the others are reshaped and go their ways."""
    sent = [{**READING, "temperature": 1001}, {**READING, "severity": 9}, READING]
    with Client("bench-check", "out/#") as client:
        for each in sent:
            client.send(publish("in/a", json.dumps(each).encode()))
        came: list[dict[str, object]] = []
        while len(came) < 2 and (payloads := client.payloads(10)):
            came += map(json.loads, payloads)
    expected = [{**MADE, "severity": 9}, MADE]
    if sorted(came, key=lambda each: str(each["severity"]), reverse=True) != expected:
        raise BenchError(f"{system.name} makes {came} of what should be {expected}:\n{system.output()[-2000:]}")
