"""What flowrt adds to a model's run, through each door, over calling the engine from Python."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
import wasmtime

from benchmarks import nn_guests
from benchmarks.alternating import alternate
from benchmarks.broker import Broker
from benchmarks.parts import ROOT, nowhere, parts
from benchmarks.report import Row, ratios
from benchmarks.settings import Settings
from flowrt.graph.plan import ModelUse
from flowrt.graph.worlds import NN_INTERFACES, NN_NEWER, nn_interface
from flowrt.message import Batch, Head
from flowrt.nn.doors.node import NodeDoor
from flowrt.nn.inspect import inspect_model
from flowrt.nn.registry import Models
from flowrt.wasm.cache import compile_component
from flowrt.wasm.component import values
from flowrt.wasm.component.store import ComponentStore
from flowrt.wasm.crossing import Crossing, Limits
from flowrt.wasm.engine import Engine
from flowrt.wasm.text import to_binary

GROUP = "nn"
SIZES = {"64 B": 64, "16 kB": 16_384, "600 kB": 602_112}
CORE_MICROSECONDS = 5.0
"""Beside the engine and the copies."""
OPERATION_RATIO, FRAME_RATIO = 1.10, 1.15
BATCHES = (1, 8, 64, 256)
MEMORY = 256 << 20
MILLISECOND = (512, 12)
"""A network whose one row takes about 1 ms: so wide, so many layers."""


def rows(_: Broker, settings: Settings) -> list[Row]:
    """All rows of this group."""
    found: list[Row] = []
    parts_of_group: Mapping[str, Callable[[Settings], list[Row]]] = {
        "doors": doors,
        "operation": operation,
        "batches": batches,
        "frame": frame,
        "cold": cold,
    }
    for name, part in parts_of_group.items():
        if settings.wants(name):
            settings.say(f"nn: {name}")
            found += part(settings)
    return found


def doors(settings: Settings) -> list[Row]:
    """A tensor in, a run, a tensor out, by a guest; against `InferenceSession.run` on a finished array. What crosses is
    copied once: the input from the guest's memory, the output into it."""
    found = []
    for name, size in SIZES.items():
        data = nn_guests.doubling(size // 4)
        session = ort.InferenceSession(data, _options())
        array, *others = (np.ones((1, size // 4), "f4") for _ in range(5))
        with _guests(data, size) as (core, component):
            times = max(1, 2_000_000 // (size + 20_000))
            jobs: dict[str, Callable[[], object]] = {
                "engine": partial(_repeat, times, partial(session.run, None, {"x": array})),
                "copy": partial(_repeat, times, partial(_copies, *others)),
                "core": partial(core, times),
                "component": partial(component, max(1, times // 20)),
            }
            per = {"engine": times, "copy": times, "core": times, "component": max(1, times // 20)}
            shown = {key: [cost / per[key] for cost in costs] for key, costs in alternate(settings, jobs).items()}
        added = tuple(a - b - c for a, b, c in zip(shown["core"], shown["engine"], shown["copy"], strict=True))
        slow = tuple(a - b for a, b in zip(shown["component"], shown["engine"], strict=True))
        found += [
            Row(GROUP, f"engine alone, {name}", "a run", "µs", tuple(shown["engine"])),
            Row(GROUP, f"core ABI, {name} in and out", "added to the engine and a copy each way", "µs", added,
                at_most=CORE_MICROSECONDS),
            Row(GROUP, f"component wasi:nn, {name} in and out", "added to the engine", "µs", slow),
        ]  # fmt: skip
    return found


def operation(settings: Settings) -> list[Row]:
    """The `inference` operation with a model of about 1 ms, one message at a time."""
    wide, layers = MILLISECOND
    with parts() as made, _file(nn_guests.dense(wide, layers)) as path:
        session = ort.InferenceSession(path.read_bytes(), _options())
        array = np.ones((1, wide), "f4")
        batch = _batch([array.tobytes()])
        operator = made.inference(path)
        jobs = {
            "engine": partial(session.run, None, {"x": array}),
            "operation": partial(operator.process, batch),
        }
        shown = alternate(settings, jobs)
    work = f"operation inference, a model of {median(shown['engine']) / 1000:.1f} ms"
    return [
        Row(GROUP, work, "against the engine alone", "×", ratios(shown["operation"], shown["engine"]),
            at_most=OPERATION_RATIO),
    ]  # fmt: skip


def batches(settings: Settings) -> list[Row]:
    """Rows of 64 B through the operation, against the engine on a finished array of as many rows."""
    found = []
    with parts() as made, _file(nn_guests.dense(16, 4)) as path:
        session = ort.InferenceSession(path.read_bytes(), _options())
        operator = made.inference(path)
        for size in BATCHES:
            array = np.ones((size, 16), "f4")
            batch = _batch([bytes(64)] * size)
            jobs = {
                "engine": partial(_repeat, 20, partial(session.run, None, {"x": array})),
                "operation": partial(_repeat, 20, partial(operator.process, batch)),
            }
            shown = alternate(settings, jobs)
            added = tuple((a - b) / size / 20 for a, b in zip(shown["operation"], shown["engine"], strict=True))
            found.append(Row(GROUP, f"operation inference, {size} rows of 64 B", "added to a row", "µs", added))
    return found


def frame(settings: Settings) -> list[Row]:
    """A raw frame of 224 x 224 x 3 to a label: three nodes of a graph, against one script."""
    side = 224
    pixels = np.random.RandomState(2).randint(0, 256, (side, side, 3)).astype("u1").tobytes()
    labels = ["empty", "box", "can", "damaged"]
    with parts() as made, _file(_network(side)) as path:
        session = ort.InferenceSession(path.read_bytes(), _options())

        def script() -> bytes:
            image = np.frombuffer(pixels, "u1").reshape(side, side, 3).astype("f4")
            image = np.ascontiguousarray((image / np.float32(127.5) - np.float32(1)).transpose(2, 0, 1))[None]
            scores = session.run(None, {"image": image})[0][0]
            best = int(scores.argmax())
            return json.dumps({"label": labels[best], "confidence": float(scores[best])}).encode()

        last: list[Batch] = []
        nodes = [
            made.map("camera-frame", size=str(side)),
            made.inference(path),
            made.map("label", labels=",".join(labels)),
        ]
        chain = made.chain(nodes, last.append)
        chain.accept(_batch([pixels]))
        ours, theirs = json.loads(last[-1].payloads[0]), json.loads(script())
        assert ours["label"] == theirs["label"], (ours, theirs)
        chain = made.chain(nodes, nowhere)
        shown = alternate(settings, {"graph": partial(chain.accept, _batch([pixels])), "script": script})
    return [
        Row(GROUP, "frame of 224 x 224 x 3, one script with numpy", "a frame", "µs", tuple(shown["script"])),
        Row(GROUP, "the same, guest, model, guest", "against the script", "×", ratios(shown["graph"], shown["script"]),
            at_most=FRAME_RATIO),
    ]  # fmt: skip


def cold(settings: Settings) -> list[Row]:
    """A fresh instance of a guest and its first run, against a Python process that imports the engine and runs once."""
    program = (
        "import onnxruntime as o, numpy as n, sys; s = o.InferenceSession(sys.argv[1]);"
        "s.run(None, {'x': n.ones((1, 16), 'f4')})"
    )
    instance, process = [], []
    with _file(nn_guests.doubling(16)) as path:
        for turn in settings.turns():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program, str(path)], check=True)
            process.append((time.perf_counter() - began) * 1000)
            with _guest_maker(path.read_bytes()) as make:
                make(64)(1)
                began = time.perf_counter()
                make(64)(1)
                instance.append((time.perf_counter() - began) * 1000)
            settings.say(f"nn: cold {turn}")
    shares = ratios(instance, process)
    return [
        Row(GROUP, "fresh guest to its first output", "after its module was compiled once", "ms", tuple(instance)),
        Row(GROUP, "Python process to its first output", "imports the engine", "ms", tuple(process)),
        Row(GROUP, "fresh guest to its first output", "against the Python process", "×", shares, at_most=0.1),
    ]


# What is measured.


def _options() -> ort.SessionOptions:
    """As flowrt sets them: one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


@contextmanager
def _file(data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(data)
        yield path


@contextmanager
def _guest_maker(data: bytes) -> Iterator[Callable[[int], Callable[[int], object]]]:
    """Makes instances of the core guest, one after the other."""
    with ExitStack() as stack:
        path = stack.enter_context(_file(data))
        engine, models = Engine(), Models()
        stack.callback(engine.close)
        stack.callback(models.close)
        door = NodeDoor(models, [ModelUse("m", inspect_model(path))], memory=MEMORY, report=print)  # type: ignore[arg-type]
        stack.callback(door.close)
        door.warm_up()
        module = wasmtime.Module(engine.native(), to_binary(nn_guests.CORE))
        made: list[Crossing] = []

        def make(size: int) -> Callable[[int], object]:
            while made:
                made.pop().close()
            made.append(Crossing(engine, module, door.core(), Limits(MEMORY, 60.0)))
            start, go = made[0].bind("start", 2, 1), made[0].bind("go", 2, 1)
            assert start is not None
            assert go is not None
            assert start(size, 0) == 0
            return lambda times: _sound(go(times, size))

        yield make
        while made:
            made.pop().close()


def _copies(given: np.ndarray, inside: np.ndarray, made: np.ndarray, outside: np.ndarray) -> None:
    np.copyto(inside, given)
    np.copyto(outside, made)


def _sound(wrong: int) -> None:
    assert wrong == 0


@contextmanager
def _guests(data: bytes, size: int) -> Iterator[tuple[Callable[[int], object], Callable[[int], object]]]:
    """Both guests: called, they do it so many times."""
    with _guest_maker(data) as make, ExitStack() as stack:
        path = stack.enter_context(_file(data))
        engine, models = Engine(), Models()
        stack.callback(engine.close)
        stack.callback(models.close)
        door = NodeDoor(models, [ModelUse("m", inspect_model(path))], memory=MEMORY, report=print)  # type: ignore[arg-type]
        stack.callback(door.close)
        offer = door.component([nn_interface(name, NN_NEWER) for name in NN_INTERFACES])
        component = compile_component(engine, to_binary(nn_guests.COMPONENT))
        streams = (lambda _: None, lambda _: None)
        limits = Limits(MEMORY, 60.0)
        store = ComponentStore(engine, component, offer.calls, limits, streams, resources=offer.resources)
        stack.callback(store.close)
        arguments = ctypes.create_string_buffer(2 * values.SIZE)
        entry = store.function("bench:nn/guest", "go", ctypes.addressof(arguments), 2)

        def go(times: int) -> None:
            arguments[:] = values.number(values.U32, times) + values.number(values.U32, size)
            _sound(values.as_int(entry()))
            store.release()

        yield make(size), go


def _network(side: int) -> bytes:
    """The convolutions of the camera's example, at another size."""
    sys.path.insert(0, str(ROOT))
    from scripts.models import camera

    return camera.untrained(side)


def _batch(payloads: list[bytes]) -> Batch:
    count = len(payloads)
    return Batch([Head("t")] * count, payloads, range(count), [0.0] * count, range(count))


# How.


def _repeat(times: int, job: Callable[[], object]) -> None:
    for _ in range(times):
        job()
