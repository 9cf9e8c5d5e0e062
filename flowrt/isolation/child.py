"""What a child process does: make its operator, then answer batch after batch. Runs confined from its first line on.

`flowrt.runtime.isolated` starts it and hands in how an operator is made.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

from flowrt.counters import NodeCounters
from flowrt.errors import GuestTrap, NodeFault
from flowrt.isolation.channel import Channel
from flowrt.isolation.counted import Counted, Runs
from flowrt.isolation.frame import BadFrame, Block, read, write
from flowrt.isolation.heads import HeadsIn, HeadsOut
from flowrt.message import Batch
from flowrt.operators.base import Emission, Operator
from flowrt.operators.guest import GuestSlot

Make = Callable[[Any, Callable[[object], None]], tuple[Operator, NodeCounters, Runs]]
"""From what the parent sent and where events go to an operator, and to what it counts beside."""
LOG_LINES_MAX = 1000
"""A reply carries at most so many of its guest's lines; the node's own bound is lower."""


def serve(channel: Channel, make: Make, unconfined: str) -> None:
    """Answer until the parent goes. `unconfined` says what this process could not give up."""
    _Child(channel, make).run(unconfined)


class _Child:
    def __init__(self, channel: Channel, make: Make) -> None:
        self._channel = channel
        self._make = make
        self._operator: Operator | None = None
        self._learnt = HeadsIn()
        self._told = HeadsOut()
        self._logged: list[list[str]] = []
        self._counted: Counted | None = None

    def run(self, unconfined: str) -> None:
        self._answer({"unconfined": unconfined}, [])
        while True:
            os.eventfd_read(self._channel.asked)
            about, blocks = read(self._channel.request)
            try:
                self._do(about, blocks)
            except NodeFault as fault:
                self._refuse(fault)
            except BadFrame as error:
                self._refuse(GuestTrap("outputs", f"what it made is too much for its process: {error}"))
            except MemoryError:
                self._refuse(GuestTrap("memory", "its process has no memory left"))
            except Exception as error:  # noqa: BLE001 - the node boundary, as in runtime/node.py
                self._refuse(GuestTrap("internal", f"{type(error).__name__}: {error}"))

    def _do(self, about: dict[str, Any], blocks: list[Block | None]) -> None:
        match about["do"], blocks:
            case "load", [Block(payloads=[plan])]:
                parts = pickle.loads(plan)  # noqa: S301 - the parent wrote it
                self._operator, counters, runs = self._make(parts, self._note)
                self._counted = Counted(counters, runs)
                self._answer({"memory": self._operator.memory_bytes()}, [])
            case "process", [Block() as block] if self._operator is not None:
                self._learnt.learn(about)
                count = len(block.payloads)
                heads = self._learnt.take(block.heads)
                batch = Batch(heads, block.payloads, block.times, [0.0] * count, range(count))
                self._emit(self._operator.process(batch))
            case "resume", [Block(payloads=[state])] if (slot := self._slot()) is not None:
                slot.resume(state)
                self._answer({}, [])
            case "restart", _ if self._operator is not None:
                self._operator.restart()
                self._answer({}, [])
            case _:
                raise BadFrame("a request of no known kind")

    def _emit(self, emission: Emission) -> None:
        ports = list(emission.ports)
        told, columns = self._told.tell([port.heads for port in ports if port is not None])
        numbers = iter(columns)
        blocks = [
            None if port is None else Block(port.seqs, next(numbers), port.times, port.payloads) for port in ports
        ]
        alike: dict[tuple[str, str], list[int]] = {}  # a model says the same of every row
        for fault in emission.faults:
            alike.setdefault((fault.error.kind, fault.error.detail), []).extend(fault.rows.seqs)
        faults = [[*words, rows] for words, rows in alike.items()]
        slot = self._slot()
        keeps = slot is not None and slot.state is not None
        if slot is not None and slot.state is not None:
            blocks.append(Block([0], [0], [0], [slot.state]))
        about = {**told, "filtered": list(emission.filtered), "forked": list(emission.forked), "faults": faults}
        self._answer({**about, "keeps": keeps}, blocks)

    def _slot(self) -> GuestSlot | None:
        """Of an operation with a module: where its guest and its state are."""
        slot = getattr(self._operator, "_slot", None)
        return slot if isinstance(slot, GuestSlot) else None

    def _refuse(self, fault: NodeFault) -> None:
        backtrace = fault.backtrace if isinstance(fault, GuestTrap) else ""
        self._answer({"raised": [isinstance(fault, GuestTrap), fault.kind, fault.detail[:2000], backtrace[:4000]]}, [])

    def _answer(self, about: dict[str, Any], blocks: list[Block | None]) -> None:
        counted = self._counted.tell() if self._counted is not None else []
        try:
            write(self._channel.reply, {**about, "logged": self._logged[:LOG_LINES_MAX], "counted": counted}, blocks)
        except BadFrame:
            self._told.clear()
            raise
        if self._counted is not None:
            self._counted.heard()
        self._logged = []
        os.eventfd_write(self._channel.answered, 1)

    def _note(self, event: object) -> None:
        severity, text = getattr(event, "severity", None), getattr(event, "text", None)
        if isinstance(severity, str) and isinstance(text, str):
            self._logged.append([severity, text[:2000]])
