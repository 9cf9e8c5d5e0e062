"""Lines of a gateway's log, made up from patterns, and a network that tells what they are about.

Each word's number looks a row of scores up in a table; their mean over the words goes through softmax.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx

from scripts.models.fit import Layers, accuracy, fit
from scripts.models.onnx_graph import Graph

LABELS = ("normal", "network", "storage", "power", "security")
TOKENS, BUCKETS = 48, 1023
_TRAIN, _TEST = 8000, 1000
_PATTERNS = {
    "normal": (
        "{unit}: started", "{unit}: reading {n} from sensor {n} ok", "health check passed in {n} ms",
        "{unit} heartbeat {n}", "configuration loaded from {path}", "job {n} finished after {n} seconds",
        "client {ip} connected", "published {n} messages to topic {word}", "cleaned up {n} old files",
    ),
    "network": (
        "{unit}: link down on {port}", "connection to broker {ip} lost, retrying in {n} s",
        "timeout waiting for reply from {ip}", "dns lookup of {word} failed", "no route to host {ip}",
        "packet loss of {n} percent on {port}", "{port}: carrier lost", "keepalive missed {n} times by {ip}",
    ),
    "storage": (
        "no space left on device {path}", "write to {path} failed: input/output error",
        "disk {word} is {n} percent full",
        "filesystem {path} remounted read-only", "bad sector {n} on {word}", "journal of {path} is corrupt",
        "flash wear at {n} percent", "cannot open {path}: too many open files",
    ),
    "power": (
        "undervoltage detected, {n} mV", "running on battery, {n} percent left", "supply of {unit} dropped to {n} V",
        "brownout reset of {unit}", "ups reports overload", "battery low, shutting down in {n} minutes",
        "current limit of {unit} reached at {n} A", "mains power lost",
    ),
    "security": (
        "failed password for root from {ip} port {n}", "{n} failed logins for user {word}",
        "certificate of {ip} is not trusted", "unauthorized request to {path} from {ip}",
        "user {word} not in sudoers", "firewall dropped {n} packets from {ip}", "invalid token presented by {ip}",
        "permission denied for {word} on {path}",
    ),
}  # fmt: skip
_UNITS = ("pump-1", "mixer", "plc-7", "gateway", "conveyor", "boiler", "hmi", "collector")
_WORDS = ("alpha", "edge.local", "sda1", "admin", "line/3/temp", "backup", "mmcblk0", "operator")
_PATHS = ("/var/log", "/data/spool", "/etc/app.conf", "/mnt/usb", "/api/v1/jobs")


def line(random: np.random.RandomState, label: int) -> str:
    pattern = _PATTERNS[LABELS[label]][random.randint(len(_PATTERNS[LABELS[label]]))]

    def filled(match: re.Match[str]) -> str:
        kind = match[1]
        if kind == "n":
            return str(random.randint(0, 10 ** random.randint(1, 5)))
        if kind == "ip":
            return ".".join(str(part) for part in random.randint(1, 255, 4))
        if kind == "port":
            return f"{['eth', 'wlan', 'can'][random.randint(3)]}{random.randint(4)}"
        choices = {"unit": _UNITS, "word": _WORDS, "path": _PATHS}[kind]
        return choices[random.randint(len(choices))]

    text = re.sub(r"\{(\w+)\}", filled, pattern)
    return f"{['INFO', 'WARN', 'ERROR', 'notice'][random.randint(4)]} {text}" if random.uniform() < 0.5 else text


def lines(seed: int, count: int) -> tuple[list[str], Any]:
    random = np.random.RandomState(seed)
    labels = random.randint(0, len(LABELS), count)
    return [line(random, label) for label in labels], labels


def tokens(text: str) -> list[int]:
    """As the module log-tokens makes them (modules/log-tokens/tokens.h)."""
    found = []
    for word in re.findall(rb"[0-9]+|[A-Za-z\x80-\xff]+", text.encode())[:TOKENS]:
        hashed = 2166136261
        for byte in b"#" if word[:1].isdigit() else word.lower():
            hashed = (hashed ^ byte) * 16777619 % 2**32
        found.append(1 + hashed % BUCKETS)
    return found + [0] * (TOKENS - len(found))


def shares(texts: list[str]) -> Any:
    """f64[n, 1024]: which part of a line's words has each number."""
    rows = np.zeros((len(texts), BUCKETS + 1))
    for row, text in zip(rows, texts, strict=True):
        words = [token for token in tokens(text) if token]
        np.add.at(row, words, 1 / max(len(words), 1))
    return rows


def make() -> tuple[bytes, float]:
    (train, labels), (test, wanted) = lines(1, _TRAIN), lines(2, _TEST)
    layers = fit(shares(train), labels, len(LABELS), epochs=40, rate=2e-2, decay=1e-5)
    return _file(layers), accuracy(layers, shares(test), wanted)


def _file(layers: Layers) -> bytes:
    graph, (weights, bias) = Graph(), layers[0]
    table = np.array(weights, "f4")
    table[0] = 0
    graph.constants |= {
        "table": table, "bias": bias.astype("f4"), "none": np.array(0, "i4"), "one": np.array(1, "f4"),
        "words": np.array([1], "i8"),
    }  # fmt: skip
    graph.add("Gather", "table tokens", "rows", axis=0)
    graph.add("ReduceSum", "rows words", "sum", keepdims=0)
    graph.add("Equal", "tokens none", "empty")
    graph.add("Not", "empty", "given")
    graph.add("Cast", "given", "counted", to=onnx.TensorProto.FLOAT)
    graph.add("ReduceSum", "counted words", "count", keepdims=1)
    graph.add("Max", "count one", "least")
    graph.add("Div", "sum least", "mean")
    graph.add("Add", "mean bias", "logits")
    graph.add("Softmax", "logits", "scores", axis=1)
    note = "What a line of a log is about; trained on lines made from patterns"
    inputs = {"tokens": (onnx.TensorProto.INT32, ["batch", TOKENS])}
    return graph.file("log-class", note, inputs, {"scores": len(LABELS)})
