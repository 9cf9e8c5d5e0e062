"""What one guest holds of models, whichever door it came by: graphs, contexts, bytes, and the refusals it got.

A door gives these the numbers its ABI has for them and calls `refuse` for each `ModelFault`: nothing that a guest
passes raises beyond its door.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from flowrt.nn import encodings
from flowrt.nn.doors.execution import NO_OPTIONS, Budget, Execution
from flowrt.nn.faults import ModelFault
from flowrt.quota.pool import Pool

if TYPE_CHECKING:
    from flowrt.counters import ModelCounters
    from flowrt.graph.plan import ModelUse
    from flowrt.nn.fallback import Choice
    from flowrt.nn.registry import FallbackHandle, Handle, Models

MAX_GRAPHS = 64
"""Models one node may hold. A guest that loads the same name again gets the same handle, so few need more than two."""
MAX_CONTEXTS = 1024
"""Contexts one node may hold; a guest that makes one per call and frees none is told after so many."""
NO_CHOICES: Mapping[str, Choice] = MappingProxyType({})
TEXT_MAX = 1000
"""Characters of a reason that are reported: a guest chooses names."""


class Graph:
    """A model a guest holds: by its graph handle, by contexts, or both."""

    def __init__(
        self,
        handle: Handle | FallbackHandle,
        charged: int,
        runs: ModelCounters | None = None,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> None:
        self.model = handle
        self.options = options
        self.runs = runs
        self.charged = charged
        self.users = 1


class Context:
    """A place for inputs and outputs. It keeps its graph alive."""

    def __init__(self, graph: Graph, execution: Execution) -> None:
        self.graph = graph
        self.execution = execution
        self.heads: dict[int, object] = {}
        """What the core door has found good as an input, by its index (`repeats.py`)."""


class Holdings:
    """Of one instance of one node. One thread at a time, as the instance itself."""

    def __init__(
        self,
        models: Models,
        uses: Sequence[ModelUse],
        memory: int,
        report: Callable[[str], None],
        refusals: dict[str, int] | None = None,
        runs: Mapping[str, ModelCounters] | None = None,
        pool: Pool | None = None,
        aloud: Callable[[bytes], None] | None = None,
        choices: Mapping[str, Choice] = NO_CHOICES,
        deadline: float | None = None,
    ) -> None:
        """`memory` bounds in bytes what the host holds for the guest: models it brought, tensors and outputs, which are
        taken from `pool` too. `report` is given the reason of a refusal, at the first, second, fourth, eighth … of its
        kind; `refusals` counts them. `runs` takes the times of the models it has by name; `aloud`
        says a text while it is made, to guests that ask for it. `choices` has, by name, what chooses between a model
        and its fallback. `deadline`, in seconds, bounds a run that makes text: the guest's own, while it cannot be
        interrupted."""
        self._choices = choices
        self._deadline = deadline
        self.budget = Budget(memory, pool)
        self._refusals = {} if refusals is None else refusals
        self._runs = runs or {}
        self._models = models
        self._uses = {use.name: use for use in uses}
        self._report = report
        self._aloud = aloud

    def refuse(self, function: str, code: str, detail: str) -> None:
        """Count a refusal, and report it unless it has been often already."""
        count = self._refusals[code] = self._refusals.get(code, 0) + 1
        if count & (count - 1) == 0:  # a hostile guest must not fill the log
            again = f" ({count} refusals so far)" if count > 1 else ""
            self._report(f"{function}: {code}: {detail[:TEXT_MAX]}{again}")

    def open_name(self, name: str, options: Mapping[str, Any] = NO_OPTIONS) -> Graph:
        """A model of the node. Raises `ModelFault`."""
        use = self._uses.get(name)
        if use is None:
            known = ", ".join(self._uses) or "none"
            raise ModelFault("not-found", f"the node has no model named '{name}'; it has {known}")
        choice = self._choices.get(name)
        handle = self._models.named(use, options, room=self.budget.limit, choice=choice)
        written = use.options.options if use.options else NO_OPTIONS
        return Graph(handle, 0, self._runs.get(name), {**written, **options})

    def open_bytes(self, sizes: Sequence[int], read: Callable[[int], bytes], declared: str, target: str) -> Graph:
        """A model that the guest brings: `read` gives a part's bytes, once there is room for all of them. Raises
        `ModelFault`."""
        size = sum(sizes)
        self.budget.charge(size, "a model")
        try:
            parts = [read(index) for index in range(len(sizes))]
            handle = self._models.open_bytes(parts, encodings.of_bytes(parts[0], declared), target)
        except BaseException:
            self.budget.refund(size)
            raise
        return Graph(handle, size)

    def start(self, graph: Graph) -> Context:
        context = Context(graph, Execution(graph.model.session, self.budget, graph.options, self._aloud))
        graph.users += 1
        return context

    def compute(self, context: Context) -> None:
        """Run, and note how long it took. Raises `ModelFault`."""
        began = monotonic()
        self.patiently(context, context.execution.compute)
        if context.graph.runs is not None:
            context.graph.runs.inference.observe(monotonic() - began)

    def patiently(self, context: Context, run: Callable[[], None]) -> None:
        """A run that makes text is left when it takes longer than a call of the guest may."""
        if self._deadline is None or all(slot.form != "text" for slot in context.graph.model.session.inputs[:1]):
            run()
            return
        from flowrt.nn.patience import patience

        with patience(self._deadline):
            run()

    def end(self, context: Context) -> None:
        context.execution.close()
        self.drop(context.graph)

    def drop(self, graph: Graph) -> None:
        """One user less; a context keeps its graph alive."""
        graph.users -= 1
        if not graph.users:
            graph.model.close()
            self.budget.refund(graph.charged)
