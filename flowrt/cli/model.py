"""`flowrt model`: show what a model file says of itself, measure it, compare two, quantise, convert."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

from flowrt.errors import FlowrtError, NodeFault
from flowrt.quota.quantity import format_bytes

_SECONDS_MAX = 3600
_COUNT_MAX = 65536
"""Of rows in a batch, as `batch.max` in a graph has it, and of threads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="inputs, outputs, operators, weights, memory, what int8 would save")
    show.add_argument("files", nargs="+", type=Path, metavar="FILE", help="model")
    _encoding(show)
    bench = actions.add_parser("bench", help="latency by engine, threads and batch size, and a recommendation")
    bench.add_argument("file", type=Path, metavar="FILE", help="model")
    _encoding(bench)
    _inputs(bench)
    _signature(bench)
    bench.add_argument("--recording", type=Path, metavar="FILE", help="inputs to run on; default: noise")
    bench.add_argument("--batch", type=_positive, nargs="+", default=[1, 8, 64], metavar="N", help="default: 1 8 64")
    bench.add_argument("--threads", type=_positive, nargs="+", metavar="N", help="default: 1 and all cores")
    bench.add_argument("--seconds", type=_seconds, default=0.5, metavar="S", help="for each figure; default: 0.5")
    compare = actions.add_parser("compare", help="run two models over a recording; ends with 1 where they disagree")
    compare.add_argument("one", type=Path, metavar="A", help="model")
    compare.add_argument("other", type=Path, metavar="B", help="model")
    compare.add_argument("--recording", type=Path, required=True, metavar="FILE", help=".npz, .npy, or rows of bytes")
    _inputs(compare)
    _signature(compare)
    compare.add_argument(
        "--tolerance", type=_share, default=0.01, metavar="SHARE", help="of the output's range; default: 0.01"
    )
    quantize = actions.add_parser("quantize", help="an int8 model of an ONNX one")
    quantize.add_argument("file", type=Path, metavar="FILE", help="ONNX model")
    quantize.add_argument("out", type=Path, metavar="OUT", help="file to write")
    quantize.add_argument(
        "--recording", type=Path, metavar="FILE", help="inputs to calibrate on; without it weights alone are quantised"
    )
    convert = actions.add_parser("convert", help="TorchScript or TensorFlow to .onnx, .onnx or .tflite to .xml")
    convert.add_argument("file", type=Path, metavar="FILE", help="model, or the folder of a SavedModel")
    convert.add_argument("out", type=Path, metavar="OUT", help="file to write; its ending says the format")
    _inputs(convert)


def run(options: argparse.Namespace) -> int:
    try:
        return {"show": _show, "bench": _bench, "compare": _compare, "quantize": _quantize, "convert": _convert}[
            options.action
        ](options)
    except MemoryError:
        print("flowrt model: the memory of this machine is not enough for that", file=sys.stderr)
        return 1
    except (NodeFault, ValueError) as error:
        print(f"flowrt model: {getattr(error, 'detail', error)}", file=sys.stderr)
        return 1


def _show(options: argparse.Namespace) -> int:
    from flowrt.nn.tools.show import lines

    failed = 0
    for path in options.files:
        try:
            print("\n".join(lines(path, options.encoding)))
        except FlowrtError as error:
            print(f"{path}: {getattr(error, 'detail', error)}", file=sys.stderr)
            failed = 1
    return failed


def _bench(options: argparse.Namespace) -> int:
    from flowrt.nn.tools import bench

    threads = options.threads or sorted({1, len(os.sched_getaffinity(0))})
    engines = bench.engines_for(options.file, options.encoding)
    print(bench.HEAD)
    rows = []
    for row in bench.measure(
        options.file,
        engines,
        threads,
        options.batch,
        options.seconds,
        options.recording,
        options.input,
        options.signature,
    ):
        print(row, flush=True)
        rows.append(row)
    print(f"recommended: {bench.recommend(rows)}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from flowrt.nn.tools import compare, recording
    from flowrt.nn.tools.opened import open_model

    one, other = (
        open_model(path, inputs=options.input, signature=options.signature if path.suffix == ".tflite" else None)
        for path in (options.one, options.other)
    )
    rows, found = compare.compare(one, other, recording.read(options.recording, one.session.inputs), options.tolerance)
    print("\n".join(compare.report(rows, found)))
    return int(any(each.apart for each in found))


def _quantize(options: argparse.Namespace) -> int:
    _check_out(options.file, options.out)
    from flowrt.nn.backends.onnx_quantize import quantize
    from flowrt.nn.faults import ModelFault
    from flowrt.nn.tools import compare, recording
    from flowrt.nn.tools.opened import open_model

    model = open_model(options.file)
    if model.encoding != "onnx":
        raise ModelFault(
            "unsupported-operation",
            f"{options.file} is {model.encoding}; int8 is made of ONNX models here (OpenVINO's tool is nncf)",
        )
    inputs = model.session.inputs
    rows = [] if options.recording is None else recording.read(options.recording, inputs)
    quantize(options.file, options.out, inputs, rows, batched=model.layout.has_batch)
    before, after = (path.stat().st_size for path in (options.file, options.out))
    print(f"{options.out}: {format_bytes(after)} instead of {format_bytes(before)}")
    if rows:
        print("\n".join(compare.report(*compare.compare(model, open_model(options.out), rows, tolerance=0.05))))
    return 0


def _convert(options: argparse.Namespace) -> int:
    from flowrt.nn.tools.convert import convert

    _check_out(options.file, options.out)
    how = convert(options.file, options.out, options.input)
    print(f"{options.out}: {format_bytes(options.out.stat().st_size)}, by {how}")
    return 0


def _encoding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoding", metavar="NAME", help="onnx, openvino, tflite, pytorch, ggml; default: as it shows"
    )


def _inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input", action="append", default=[], metavar="TENSOR", help="of TorchScript, as 'x: f32[N, 16]'"
    )


def _signature(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--signature", metavar="NAME", help="of TensorFlow Lite; default: the file's first graph")


def _check_out(file: Path, out: Path) -> None:
    """Raises `ValueError`: engines make folders, and overwrite what they read."""
    if not out.absolute().parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}")
    if out.is_dir():
        raise ValueError(f"{out} is a folder; name the file to write")
    if out.exists() and out.samefile(file):
        raise ValueError(f"{out} is the model itself; name another file to write")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {_SECONDS_MAX}")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= _COUNT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {_COUNT_MAX}")
    return value
