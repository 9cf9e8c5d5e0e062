"""Arguments and steps shared by the commands that load graphs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowrt.graph.checks.quotas import check_together
from flowrt.graph.facts import Machine, ModelFacts, ModuleFacts, Unreadable
from flowrt.graph.graph import Graph
from flowrt.graph.load import Read, load, plan_of, read_anew, read_graph
from flowrt.graph.plan import Plan
from flowrt.graph.resolve import NOTHING_STORED, Stored
from flowrt.problem import Problem, has_errors, in_order
from flowrt.quota.quantity import parse_bytes, parse_cores
from flowrt.quota.resources import NO_BUDGET, Budget
from flowrt.registry.store import Store
from flowrt.registry.trust import policy_path, read_policy
from flowrt.runtime.known_graphs import KnownGraphs
from flowrt.runtime.places import state_folder
from flowrt.values import replace

Inspect = Callable[[Path], ModuleFacts | Unreadable]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`FILE…`, `--modules`, `--set`, `--bind`, `--cpu`, `--memory`."""
    parser.add_argument("files", nargs="+", metavar="FILE", type=Path, help="graph file, or folder of AIO resources")
    parser.add_argument("--modules", action="append", default=[], metavar="DIR", type=Path, help="folder of modules")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", type=pair, help="fill a parameter or ${KEY}"
    )
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="NAME=URL",
        type=pair,
        help="bind an abstract source or sink: mqtt://HOST[:PORT]/TOPIC?qos=1, file:PATH",
    )
    parser.add_argument(
        "--cpu", type=_quantity(parse_cores), metavar="CORES", help="what all graphs may use together, as 1500m"
    )
    parser.add_argument(
        "--memory",
        type=_quantity(parse_bytes),
        metavar="SIZE",
        help="what the guests and models of all graphs may hold together, as 512Mi",
    )


def load_all(
    options: argparse.Namespace, *, to_run: bool = False, read: Read = read_anew
) -> tuple[list[Plan], list[Problem]]:
    """Every file's plan, where it has one, and every problem in order. A graph `to_run` needs an endpoint at each end;
    one that is only checked may leave them abstract, as AIO's definitions do. `read` reads what is not known."""
    machine = _granted(options)
    plans: list[Plan] = []
    problems: list[Problem] = []
    for path in options.files:
        if path.is_dir():
            found = _of_folder(options, path, to_run=to_run, machine=machine)
        else:
            found = [load_one(options, path, to_run=to_run, machine=machine, read=read)]
        for plan, mistakes in found:
            problems.extend(mistakes)
            if plan is not None:
                plans.append(plan)
    problems.extend(check_together(plans, machine))
    return plans, in_order(problems)


def load_again(options: argparse.Namespace, read: Read) -> tuple[list[Plan], list[Problem]]:
    """`load_all` for graphs that run, in the process that messages pass through: a pipe, which a shell may have given
    at the start, would be waited for for ever."""
    pipes = [path for path in options.files if path.exists() and not (path.is_file() or path.is_dir())]
    if not pipes:
        return load_all(options, to_run=True, read=read)
    message = "the file cannot be read again: it is a pipe or a device; put the graph into a file"
    return [], [Problem(str(path), 0, 0, "unreadable-file", message) for path in pipes]


def load_one(
    options: argparse.Namespace,
    path: Path,
    data: bytes | None = None,
    stored: Stored = NOTHING_STORED,
    *,
    to_run: bool = True,
    machine: Machine | None = None,
    read: Read = read_anew,
) -> tuple[Plan | None, list[Problem]]:
    """One file's plan, and its problems; `data` takes the place of what the file holds. Modules that no folder has are
    looked for in the local store; what the trust policy does not let in is a problem."""
    folder, stored = _store(options, stored)
    how = _how(options, to_run=to_run, machine=machine or _granted(options))
    read = KnownGraphs(read=read).read if to_run else read
    return _let_in(*load(path, **how, data=data, stored=stored, read=read), folder)


def _store(options: argparse.Namespace, stored: Stored = NOTHING_STORED) -> tuple[Path, Stored]:
    """The state folder, and where modules are looked for that no folder has."""
    folder = state_folder(getattr(options, "state", None))
    if stored.find is NOTHING_STORED.find and (folder / "store").is_dir():
        stored = replace(stored, find=Store(folder / "store").find)
    return folder, stored


def _let_in(plan: Plan | None, problems: list[Problem], folder: Path) -> tuple[Plan | None, list[Problem]]:
    """The plan, unless the trust policy refuses something of it."""
    refused = [] if plan is None else untrusted(plan, folder)
    return (None if refused else plan), problems + refused


def untrusted(plan: Plan, state: Path) -> list[Problem]:
    """What a graph uses that the trust policy does not let in. Raises `StartError` for a policy nobody understands."""
    policy = read_policy(policy_path(state))
    if not policy.strict:
        return []
    from flowrt.updates.deployment import with_fallbacks  # few machines have a policy

    store = Store(state / "store")
    used = [
        (node.name, node.module.path, node.module.digest) for node in plan.nodes.values() if node.module is not None
    ]
    # what a module carries its own signature covers
    carried = {model.path for node in plan.nodes.values() if node.module for model in node.module.models}
    models = [(node.name, use) for node in plan.nodes.values() for use in with_fallbacks(node)]
    used += [(node, use.facts.path, use.facts.digest) for node, use in models if use.facts.path not in carried]
    used += [(node, library.path, library.digest) for node, use in models for library in use.libraries]
    return [
        Problem(
            plan.path, 0, 0, "untrusted", f"operation '{node}': {path} ({digest[:19]}) is not signed by a trusted key; "
            "pull a signed version, or sign it: flowrt store sign", node,
        )
        for node, path, digest in used
        if not store.trusted(digest, policy)
    ]  # fmt: skip


def _how(options: argparse.Namespace, *, to_run: bool, machine: Machine | None) -> dict[str, Any]:
    """What the command line says of how graphs are loaded."""
    return {
        "sets": dict(options.set),
        "environ": os.environ,
        "bindings": dict(options.bind),
        "modules_dirs": options.modules,
        "inspect_module": _inspect_module,
        "inspect_model": _inspect_model,
        "machine": machine,
        "abstract_ends": not to_run,
    }


def _of_folder(
    options: argparse.Namespace, path: Path, *, to_run: bool, machine: Machine
) -> list[tuple[Plan | None, list[Problem]]]:
    """The graphs that a folder of AIO's resources declares, and what is wrong with the resources."""
    from flowrt.manifests.load import graphs_of  # few give a folder

    folder, stored = _store(options)
    how = _how(options, to_run=to_run, machine=machine)
    graphs, problems = graphs_of(path)
    return [(None, problems), *(_let_in(*plan_of(graph, **how, stored=stored), folder) for graph in graphs)]


def read_all(options: argparse.Namespace) -> tuple[list[Graph], list[Problem]]:
    """Every file's graph by its text alone, and what is wrong with the text: modules and models need not be there."""
    graphs: list[Graph] = []
    problems: list[Problem] = []
    for path in options.files:
        graph, found = read_graph(path, sets=dict(options.set), environ=os.environ)
        problems.extend(found)
        if graph is not None:
            graphs.append(graph)
    return graphs, in_order(problems)


def report(problems: list[Problem]) -> bool:
    """Print problems on standard error; whether one of them is an error."""
    for problem in problems:
        print(problem, file=sys.stderr)
    return has_errors(problems)


def this_machine() -> Machine:
    """The cores this process may use and the memory of the machine."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(float(len(os.sched_getaffinity(0))), pages * page)


def budget(options: argparse.Namespace) -> Budget:
    """What `--cpu` and `--memory` grant all graphs together."""
    given = {"cpu": options.cpu, "memory": options.memory}
    return Budget(**given) if any(value is not None for value in given.values()) else NO_BUDGET


def _granted(options: argparse.Namespace) -> Machine:
    here, granted = this_machine(), budget(options)
    return Machine(granted.cpu or here.cores, granted.memory or here.memory_bytes)


def _quantity(parse: Callable[[object], float]) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _inspect_module(path: Path) -> ModuleFacts | Unreadable:
    from flowrt.wasm.inspect import inspect_module

    return inspect_module(path)


def _inspect_model(path: Path | str, encoding: str | None = None) -> ModelFacts | Unreadable:
    from flowrt.nn.inspect import inspect_model

    return inspect_model(path, encoding)


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE`, for argparse."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY=VALUE")
    return key, value
