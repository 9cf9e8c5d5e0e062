"""`flowrt apply`: change a graph that runs into what a file says, and say how that went.

A folder of AIO's resources is several graphs: each is applied, one after the other, to the graph of its name.

Exit status 0 when the new version has proven itself (with `--no-wait`: carries traffic), 1 when it was refused or
rolled back, 3 when no runtime listens.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flowrt.errors import StartError, in_words
from flowrt.logs.rendering import escaped
from flowrt.problem import has_errors
from flowrt.quota.quantity import parse_bytes
from flowrt.registry.budget import disk_budget
from flowrt.runtime.places import state_folder
from flowrt.updates.control import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        help="graph file, or folder of AIO resources; or NAME:VERSION or a digest in the store, or oci://HOST/PATH:TAG",
    )
    parser.add_argument(
        "--graph", default="", metavar="NAME", help="the graph that an artifact is for; not needed for the only one"
    )
    parser.add_argument("--again", action="store_true", help="also when the same change has failed before")
    parser.add_argument("--no-wait", action="store_true", help="return once the new version carries all traffic")
    add_state(parser)


def add_state(parser: argparse.ArgumentParser) -> None:
    """`--state`, as `flowrt run` takes it."""
    parser.add_argument("--state", type=Path, metavar="DIR", help="state folder of the runtime, as `flowrt run` has it")


def add_disk(parser: argparse.ArgumentParser) -> None:
    """`--disk`."""
    parser.add_argument(
        "--disk",
        type=size,
        metavar="SIZE",
        help="what artifacts and compiled code may take together (FLOWRT_DISK, else 2Gi); the longest unused give way",
    )


def size(text: str) -> int:
    """For argparse."""
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def disk(options: argparse.Namespace) -> int:
    """What `--disk` or `FLOWRT_DISK` says. Raises `StartError`."""
    try:
        return disk_budget(options.disk)
    except ValueError as error:
        raise StartError(f"FLOWRT_DISK: {error}") from None


def run(options: argparse.Namespace) -> int:
    requests = _of_folder(Path(options.file)) if Path(options.file).is_dir() else [_request(options)]
    settled = "probation" if options.no_wait else ""
    ends = [1] if not requests else []
    for request in requests:
        answers = ask(state_folder(options.state), {"do": "apply", "again": options.again, **request})
        ends.append(show(answers, settled=settled))
    return max(ends)


def _of_folder(folder: Path) -> list[dict[str, str]]:
    """The graphs that a folder's resources declare; none when something in it is wrong, which is printed."""
    from flowrt.manifests.load import graphs_of  # few give a folder

    graphs, problems = graphs_of(folder)
    for problem in problems:
        print(problem, file=sys.stderr)
    if has_errors(problems):
        return []
    if not graphs:
        print(f"{folder}: no DataflowGraph in it is enabled", file=sys.stderr)
    return [{"path": str(Path(graph.path).absolute()), "text": graph.text} for graph in graphs]


def _request(options: argparse.Namespace) -> dict[str, str]:
    """What is to be applied. Raises `StartError` for a file that cannot be read."""
    path = Path(options.file)
    if ":" in options.file and not path.exists():
        return {"artifact": options.file, "graph": options.graph}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path} cannot be read: {in_words(error, str(path))}") from error
    return {"path": str(path.absolute()), "text": text}


def show(answers: Iterable[Mapping[str, Any]], *, settled: str = "") -> int:
    """Print answers as they come, until the one with the state that is `settled`; the exit status."""
    for answer in answers:
        match answer:
            case {"problem": problem}:
                print(escaped(problem), file=sys.stderr)
            case {"error": words}:
                print(escaped(words), file=sys.stderr)
                return 1
            case {"state": state, "detail": detail}:
                print(escaped(f"{state} {detail}".rstrip()), flush=True)
                if state == settled:
                    return 0
            case {"outcome": outcome, "reason": reason}:
                if reason:
                    print(escaped(reason), file=sys.stderr)
                return 0 if outcome == "proven" else 1
    print("the runtime went away", file=sys.stderr)
    return 3
