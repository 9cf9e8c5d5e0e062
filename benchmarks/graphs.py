"""Graphs made for a measurement: chains of pass-through guests between a source and a sink."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.broker import HOST, PORT
from benchmarks.faults.guests import write_busy
from benchmarks.systems import BUILD

FOLDER = BUILD / "graphs"
HEAD = """# Made by benchmarks/graphs.py
metadata: {{name: {name}, version: "1.0.0"}}
endpoints:
  - {{name: broker, mqtt: {{host: {host}, port: {port}, clientId: bench-{name}}}}}
operations:
  - {{operationType: source, name: in, endpoint: broker, topics: ["{filter}"], qos: 0}}
"""
GUEST = "  - {{operationType: map, name: hop{index}, module: passthrough}}\n"
SINK = "  - {operationType: sink, name: out, endpoint: broker, topic: out/x, qos: 0}\nconnections:\n"
EDGE = "  - {{from: {{name: {source}}}, to: {{name: {target}}}}}\n"


def chain(length: int, name: str = "", topics: str = "in/#") -> Path:
    """Source, `length` pass-through guests, sink; the file it was written to."""
    name = name or f"chain-{length}"
    nodes: Sequence[str] = ["in", *(f"hop{index}" for index in range(length)), "out"]
    text = HEAD.format(name=name, host=HOST, port=PORT, filter=topics)
    text += "".join(GUEST.format(index=index) for index in range(length)) + SINK
    text += "".join(EDGE.format(source=a, target=b) for a, b in pairwise(nodes))
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.yaml"
    path.write_text(text)
    return path


def busy(seconds: float) -> Path:
    """Source, one guest that computes for so long a message, sink."""
    folder = FOLDER / "busy"
    write_busy(folder, seconds)
    path = folder / "busy.yaml"
    path.write_text(chain(1).read_text().replace("passthrough", "busy.wasm"))
    return path


def several(count: int) -> list[Path]:
    """`count` graphs of one guest each, the k-th on topics in/gK/#."""
    return [chain(1, f"graph-{index}", f"in/g{index}/#") for index in range(count)]
