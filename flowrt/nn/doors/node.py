"""wasi-nn for one node, whatever becomes of its instances: what `runtime` makes for a node that may use models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from flowrt.counters import ModelCounters
from flowrt.nn.doors.holdings import Holdings
from flowrt.quota.pool import Pool

if TYPE_CHECKING:
    from flowrt.graph.plan import ModelUse
    from flowrt.nn.doors.component import ComponentDoor
    from flowrt.nn.doors.core import CoreDoor
    from flowrt.nn.fallback import Choice
    from flowrt.nn.registry import FallbackHandle, Handle, Models
    from flowrt.wasm.component.store import Offer
    from flowrt.wasm.imports import HostFunction


class NodeDoor:
    """`core` and `component` give what the node's next instance may import (`extra` of the guests' factories).

    A node has one instance at a time, so what the one before left open is freed then."""

    def __init__(
        self,
        models: Models,
        uses: Sequence[ModelUse],
        *,
        memory: int,
        report: Callable[[str], None],
        pool: Pool | None = None,
        refusals: dict[str, int] | None = None,
        aloud: Callable[[bytes], None] | None = None,
        deadline: float | None = None,
    ) -> None:
        """`uses` are the models the node's guest may load by name; `memory` bounds in bytes what the host holds for it
        beside those, and `pool` all that is held for the node; `report` takes the reasons of refusals, made rare enough
        for a log. `deadline` is that of the guest's calls, in seconds."""
        self.refusals: dict[str, int] = {} if refusals is None else refusals
        """Calls that got an errno, by its code, over all instances."""
        self.runs = {use.name: ModelCounters() for use in uses}
        """What the node ran of each of its models, over all instances."""
        self._choices = _choices(uses, report)
        for name, choice in self._choices.items():
            self.runs[name].fallbacks = choice.counts
        self._models = models
        self._uses = uses
        self._memory = memory
        self._report = report
        self._aloud = aloud
        self._deadline = deadline
        self._pool = pool
        self._held: list[Handle | FallbackHandle] = []
        self._door: CoreDoor | ComponentDoor | None = None

    def warm_up(self) -> None:
        """Load and warm the node's models and keep them until `close`, so that no call of a guest waits for that.
        Raises `ModelFault`."""
        for use in self._uses:
            choice = self._choices.get(use.name)
            handle = self._models.named(use, room=self._memory, choice=choice)
            self._held.append(handle)
            handle.layout()

    def core(self) -> Sequence[HostFunction]:
        """For an instance of a core module."""
        from flowrt.nn.doors.core import CoreDoor

        self._door = door = CoreDoor(self._fresh())
        return door.functions()

    def component(self, wanted: Collection[str]) -> Offer:
        """For an instance of a component that imports the interfaces `wanted`."""
        from flowrt.nn.doors.component import ComponentDoor

        self._door = door = ComponentDoor(self._fresh())
        return door.offer(wanted)

    def memory_bytes(self) -> int:
        """What the host holds for the guest, its share of named models left out."""
        return self._door.memory_bytes() if self._door is not None else 0

    def _fresh(self) -> Holdings:
        if self._door is not None:
            self._door.close()
        return Holdings(
            self._models, self._uses, self._memory, self._report, self.refusals, self.runs, self._pool, self._aloud,
            self._choices, self._deadline,
        )  # fmt: skip

    def close(self) -> None:
        """Free what the instance left open, and give the node's models back. Safe to call twice."""
        if self._door is not None:
            self._door.close()
        while self._held:
            self._held.pop().close()


def _choices(uses: Sequence[ModelUse], report: Callable[[str], None]) -> dict[str, Choice]:
    """For the models that declare a fallback."""
    declared = [use for use in uses if use.fallback is not None]
    if not declared:
        return {}
    from flowrt.nn.fallback import choice_for

    return {use.name: choice_for(use, report) for use in declared}
