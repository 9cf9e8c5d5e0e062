"""Pieces of flowrt put together in this process, as `runtime.build` would, for what is measured without a broker."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType

from flowrt.counters import NodeCounters
from flowrt.delivery.deadletters import DeadLetters
from flowrt.graph.plan import ModelUse
from flowrt.message import Batch
from flowrt.nn.inspect import inspect_model
from flowrt.nn.registry import Models
from flowrt.operators.base import Model, OnError, Operator
from flowrt.operators.inference import InferenceOperator
from flowrt.operators.map import MapOperator
from flowrt.quota.resources import Resources
from flowrt.runtime.limits import Limits
from flowrt.runtime.node import Node
from flowrt.runtime.onerror import FaultHandler
from flowrt.wasm.engine import Engine
from flowrt.wasm.factory import CoreGuestFactory, guest_factory
from flowrt.wasm.guest import CoreGuest
from flowrt.wasm.inspect import inspect_module

ROOT = Path(__file__).parent.parent


class Parts:
    """Shared surroundings of the pieces."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.engine = Engine()
        self.models = Models()
        self.letters = DeadLetters(folder / "letters.sqlite")
        self.stopping = threading.Event()
        self._stack = stack
        for part in (self.engine, self.models, self.letters):
            stack.callback(part.close)

    def guest(self, module: str) -> CoreGuest:
        """A fresh instance of one of the modules in modules/."""
        guest = self._factory(module)()
        self._stack.callback(guest.close)
        return guest

    def map(self, module: str, **properties: str) -> Operator:
        """A `map` operator with one of the modules in modules/."""
        operator = MapOperator(self._factory(module, properties))
        self._stack.callback(operator.close)
        return operator

    def model(self, path: Path) -> Model:
        facts = inspect_model(path, None)
        model = self.models.rows(ModelUse("model", facts))  # type: ignore[arg-type]
        self._stack.callback(model.close)
        return model

    def inference(self, path: Path) -> Operator:
        return InferenceOperator(self.model(path), 64)

    def chain(self, operators: Sequence[Operator], last: object) -> Node:
        """Nodes one behind the other, the last feeding `last`; the first of them."""
        target = last
        for index in reversed(range(len(operators))):
            node = self._node(f"n{index}", operators[index])
            node.targets = [[target], [target]]  # type: ignore[list-item] - whatever arm a branch takes
            target = node.accept
        return node

    def _node(self, name: str, operator: Operator) -> Node:
        counters, on_error = NodeCounters(), OnError()
        faults = FaultHandler("bench", name, on_error, counters, self.letters, self.stopping, _no_event)
        return Node(
            "bench",
            name,
            operator,
            faults,
            counters,
            on_error=on_error,
            limits=Limits("bench", name, Resources(), counters, self.stopping, _no_event),
            stopping=self.stopping,
            emit=_no_event,
        )

    def _factory(self, module: str, properties: Mapping[str, str] = MappingProxyType({})) -> CoreGuestFactory:
        facts = inspect_module(ROOT / "modules" / module / f"{module}.wasm")
        given = tuple(properties.items())
        return guest_factory(self.engine, facts, Resources(), given, emit=_no_event, graph="bench", node=module)  # type: ignore[arg-type]


@contextmanager
def parts() -> Iterator[Parts]:
    """Everything is closed at the end, last first."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        yield Parts(Path(folder), stack)


def nowhere(_: Batch) -> None:
    """The end of a chain."""


def _no_event(_: object) -> None:
    """Nobody looks."""
