"""The parent's side of an isolated node: an operator like any other, whose work a child process does."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowrt.counters import NodeCounters
from flowrt.errors import GuestTrap, NodeFault, StartError
from flowrt.events import FAULTS
from flowrt.isolation.cgroup import Cgroup
from flowrt.isolation.counted import Runs, believe
from flowrt.isolation.frame import BadFrame, Block
from flowrt.isolation.heads import HeadsIn, HeadsOut
from flowrt.isolation.process import START_SECONDS, Child
from flowrt.message import Batch
from flowrt.operators.base import Emission, Fault
from flowrt.quota.meter import Meter
from flowrt.quota.resources import Resources

_ROOM = 1 << 20
"""Bytes of a half of the shared memory beside two payloads of the largest size."""
_GRACE_SECONDS = 0.5
"""A guest keeps its own deadline; its process gets so much longer, in which to say so."""


class IsolatedOperator:
    """Implements `operators.base.Operator`."""

    def __init__(
        self,
        plan: object,
        resources: Resources,
        meter: Meter,
        log: Callable[[str, str], None],
        counters: NodeCounters,
        runs: Runs,
        *,
        limit_first: bool,
        cgroup: Cgroup | None = None,
        writable: Sequence[Path] = (),
    ) -> None:
        """`plan` goes to the child. `log` takes severity and text of its guest's lines; `counters` and `runs` what is
        counted there of calls that were refused, of a guest's own metrics and of models. `limit_first`: what it loads
        counts against its memory, as a model does; a guest's code does not. It may write below the folders `writable`.
        Raises `StartError` or `NodeFault`."""
        self._plan = pickle.dumps(plan)
        self._resources = resources
        self._meter = meter
        self._log = log
        self._counters, self._runs = counters, runs
        self._limit_first = limit_first
        self._cgroup = cgroup
        self._writable = writable
        self._size = 2 * resources.message + _ROOM
        self._told, self._learnt = HeadsOut(), HeadsIn()
        self._state: bytes | None = None
        """The guest's, as of the last good batch: a fresh child is given it."""
        self._told_unconfined = False
        self._child = self._start()

    @property
    def pid(self) -> int:
        """The child at present."""
        return self._child.pid

    @property
    def state(self) -> bytes | None:
        """The guest's, as of the last good batch."""
        return self._state

    def resume(self, state: bytes) -> None:
        """Begin with a state that was kept elsewhere. Raises `NodeFault` when it is refused."""
        self._child.ask({"do": "resume"}, [Block([0], [0], [0], [state])])
        self._hear(self._child.answer(START_SECONDS)[0])
        self._state = state

    def process(self, batch: Batch) -> Emission:
        told, (numbers,) = self._told.tell([batch.heads])
        block = Block(range(len(batch)), numbers, batch.times, batch.payloads)
        try:
            self._child.ask({**told, "do": "process"}, [block])
        except BadFrame as error:
            self._told.clear()
            raise NodeFault("size", f"a batch is too much for its process: {error}") from error
        about, blocks = self._child.answer(2 * self._resources.deadline + _GRACE_SECONDS)
        self._hear(about)
        try:
            self._learnt.learn(about)
            emission = self._emission(batch, about, blocks[:-1] if about["keeps"] else blocks)
            if about["keeps"]:
                self._state = _state_of(blocks)
            return emission
        except (BadFrame, KeyError, IndexError, TypeError, ValueError) as error:
            self._child.close()
            raise GuestTrap("abi", f"its process answered nonsense: {error}") from error

    def restart(self) -> None:
        """In the child where it lives, so that the guest's state does too; else a fresh child."""
        if self._child.alive():
            self._child.ask({"do": "restart"})
            about, _ = self._child.answer(START_SECONDS)
            self._hear(about)
            return
        self._child.close()
        try:
            self._child = self._start(again=True)
        except StartError as error:
            raise GuestTrap("crash", str(error)) from error

    def memory_bytes(self) -> int:
        return self._child.held()

    def close(self) -> None:
        self._child.close()

    def _start(self, *, again: bool = False) -> Child:
        self._told.clear()
        self._learnt.clear()
        child = Child(self._size, self._meter, self._cgroup, self._writable, again=again)
        if child.unconfined and not self._told_unconfined:
            self._told_unconfined = True
            self._log("warn", f"its process is confined in part: {child.unconfined}")
        try:
            if self._limit_first:
                child.limit(self._resources.memory)
            child.ask({"do": "load"}, [Block([0], [0], [0], [self._plan])])
            about, _ = child.answer(START_SECONDS)
            self._hear(about, child)
            if not self._limit_first:
                held = about.get("memory")
                child.limit(_ROOM + max(0, self._resources.memory - (held if isinstance(held, int) else 0)))
            if self._state is not None:
                child.ask({"do": "resume"}, [Block([0], [0], [0], [self._state])])
                self._hear(child.answer(START_SECONDS)[0], child)
            child.started()
        except BaseException:
            child.close()
            raise
        return child

    def _hear(self, about: Mapping[str, Any], child: Child | None = None) -> None:
        """Pass log lines on, and raise what the child's operator raised."""
        for line in about.get("logged", []):
            match line:
                case [str(severity), str(text)]:
                    self._log(severity, text)
        try:
            believe(about.get("counted", []), self._counters, self._runs)
        except BadFrame as error:
            (child or self._child).close()
            raise GuestTrap("abi", f"its process answered nonsense: {error}") from error
        match about.get("raised"):
            case None:
                return
            case [bool(trapped), str(kind), str(detail), str(backtrace)] if kind in FAULTS:
                raise GuestTrap(kind, detail, backtrace) if trapped else NodeFault(kind, detail)
        (child or self._child).close()
        raise GuestTrap("abi", "its process answered nonsense")

    def _emission(self, batch: Batch, about: Mapping[str, Any], blocks: Sequence[Block | None]) -> Emission:
        seqs = batch.seqs
        ports = [None if block is None else self._port(batch, block) for block in blocks]
        faults = []
        for kind, detail, rows in about["faults"]:
            if kind not in FAULTS or not isinstance(detail, str):
                raise BadFrame("a fault of no known kind")
            faults.append(Fault(batch.take(_rows(rows, len(batch))), NodeFault(kind, detail)))
        filtered = [seqs[row] for row in _rows(about["filtered"], len(batch))]
        forked = [seqs[row] for row in _rows(about["forked"], len(batch))]
        emission = Emission(ports, filtered, tuple(faults), forked)
        if not _complete(batch, blocks, about):
            raise BadFrame("rows that came to no end, or to two")
        return emission

    def _port(self, batch: Batch, block: Block) -> Batch:
        if block.payloads and max(map(len, block.payloads)) > self._resources.message:
            raise BadFrame(f"a payload larger than {self._resources.message} bytes")
        count, heads = len(batch), self._learnt.take(block.heads)
        if len(block.rows) == count and list(block.rows) == list(range(count)):
            return Batch(heads, block.payloads, list(block.times), batch.born, batch.seqs, batch.tracker)
        rows = batch.take(_rows(block.rows, count))
        return Batch(heads, block.payloads, list(block.times), rows.born, rows.seqs, batch.tracker)


def _state_of(blocks: Sequence[Block | None]) -> bytes:
    match blocks[-1]:
        case Block(payloads=[state]):
            return state
    raise BadFrame("a state that is not one")


def _rows(rows: Sequence[Any], count: int) -> list[int]:
    if not all(type(row) is int and 0 <= row < count for row in rows):
        raise BadFrame("a row beyond the batch")
    return list(rows)


def _complete(batch: Batch, blocks: Sequence[Block | None], about: Mapping[str, Any]) -> bool:
    """Whether every row is accounted for exactly once: what else would settle a message that is not done."""
    balance = [1] * len(batch)
    for row in about["forked"]:
        balance[row] += 1
    ended = [row for block in blocks if block is not None for row in block.rows]
    for row in [*ended, *about["filtered"], *(row for fault in about["faults"] for row in fault[2])]:
        balance[row] -= 1
    return not any(balance)
