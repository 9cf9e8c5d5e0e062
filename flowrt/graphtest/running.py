"""Trials run and judged, one in a process or many in several."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from time import monotonic

from flowrt.errors import FlowrtError
from flowrt.graph.checks import check
from flowrt.graph.load import read_graph
from flowrt.graph.plan import Plan
from flowrt.graph.planner import plan
from flowrt.graph.resolve import InspectModel, InspectModule, gather, module_folders
from flowrt.graphtest import aio, own
from flowrt.graphtest.execution import execute
from flowrt.graphtest.model import AioTest, TestFile
from flowrt.graphtest.reading import read_tests
from flowrt.graphtest.trial import Outcome, Trial, TrialError
from flowrt.problem import Problem, has_errors
from flowrt.values import Struct, field, replace

_CODES = ("module", "model", "export", "import", "signature", "operation", "digest", "memory-above-quota")
"""What the codes of problems contain that do not matter for an operation a stub stands in for."""


class Asked(Struct, frozen=True):
    """One test to run, by its place: what it holds is read where it runs."""

    path: Path
    index: int
    name: str


class Result(Struct):
    """What became of a test."""

    asked: Asked
    seconds: float = 0.0
    graph: str = ""
    wrong: list[str] = field(default_factory=list)
    """What is not as it has to be; nothing when it passed."""
    log: list[str] = field(default_factory=list)
    """What the graph said, for a test that failed."""
    reached: frozenset[str] = frozenset()
    reachable: frozenset[str] = frozenset()

    @property
    def passed(self) -> bool:
        return not self.wrong


class Bench(Struct, frozen=True):
    """What all tests have in common. It travels to other processes: its functions are those of modules."""

    modules: tuple[Path, ...]
    sets: Mapping[str, str]
    environ: Mapping[str, str]
    inspect_module: InspectModule
    inspect_model: InspectModel


def listed(path: Path) -> tuple[list[Asked], list[Problem]]:
    """The tests of a file, and what is wrong with it."""
    file, problems = read_tests(path)
    match file:
        case TestFile():
            return [Asked(path, index, case.name) for index, case in enumerate(file.cases)], problems
        case AioTest():
            return [Asked(path, 0, file.name)], problems
    return [], problems


def run_all(asked: Sequence[Asked], bench: Bench, jobs: int) -> Iterator[Result]:
    """Every test's result, in order. More than one job: in so many processes."""
    if jobs <= 1 or len(asked) <= 1:
        yield from (run_one(each, bench) for each in asked)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(asked)), mp_context=context) as pool:
        running = [(each, pool.submit(run_one, each, bench)) for each in asked]
        for each, future in running:
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Result(each, wrong=["the process that ran it, or a test before it, has died"])


def run_one(asked: Asked, bench: Bench) -> Result:
    """Run one test. Whatever goes wrong is the test's: nothing is raised."""
    result, began = Result(asked), monotonic()
    try:
        trial = _trial(asked)
        trial = replace(trial, sets={**bench.sets, **trial.sets})
        result.graph = os.path.relpath(trial.graph)
        outcome = execute(trial, _plan(trial, bench))
        result.wrong = [*trial.judge(outcome), *_unsettled(outcome)]
        result.log = outcome.log if result.wrong else []
        result.reached, result.reachable = frozenset(outcome.reached), frozenset(outcome.reachable)
    except (TrialError, FlowrtError) as error:
        result.wrong = [str(error)]
    except Exception:  # noqa: BLE001 - a fault of ours is one test's, not the end of them all
        result.wrong = [f"flowrt itself failed; please report it:\n{traceback.format_exc()}"]
    result.seconds = monotonic() - began
    return result


def _unsettled(outcome: Outcome) -> Iterable[str]:
    """Whatever a test says: no message may be lost without a word."""
    if outcome.open:
        yield f"{outcome.open} messages came to no end: their source would never acknowledge them"


def _trial(asked: Asked) -> Trial:
    match read_tests(asked.path)[0]:
        case TestFile() as file:
            return own.trial_of(asked.path, file, file.cases[asked.index])
        case AioTest() as test:
            return aio.trial_of(asked.path, test)
    raise TrialError(f"{asked.path} has changed since it was read")


def _plan(trial: Trial, bench: Bench) -> Plan:
    """The plan of a test's graph, whose ends may be abstract. Raises `TrialError` with every problem of the graph."""
    graph, problems = read_graph(trial.graph, sets=trial.sets, environ=bench.environ)
    if graph is None:
        raise _faulty(problems)
    folders = module_folders(trial.graph, bench.modules, bench.environ)
    facts = gather(graph, folders, bench.inspect_module, bench.inspect_model, None)
    problems += [problem for problem in check(graph, facts, trial.sets) if not _stubbed(problem, trial)]
    if has_errors(problems):
        raise _faulty(problems)
    return plan(graph, facts, trial.sets)


def _stubbed(problem: Problem, trial: Trial) -> bool:
    return problem.node in trial.stubs and any(word in problem.code for word in _CODES)


def _faulty(problems: Iterable[Problem]) -> TrialError:
    return TrialError("\n".join(str(problem) for problem in problems if has_errors([problem])))
