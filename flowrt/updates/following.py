"""Tags and addresses that are asked, now and then, whether something new is behind them.

Asking costs one question without a body. What is new is brought, checked, and tried as any other update is; what failed
is not tried again until something else is behind the tag.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from flowrt.counters import UpdateCounters
from flowrt.errors import FlowrtError
from flowrt.events import Emit, FollowFailed
from flowrt.graph.remote import Access, Follow
from flowrt.parsing import parsed
from flowrt.registry.artifact import Entry
from flowrt.registry.files import write_whole
from flowrt.updates.arrivals import Arrivals
from flowrt.updates.fetching import host_of
from flowrt.updates.journal import file_of
from flowrt.updates.running import Declined, Running
from flowrt.values import Struct, asdict

BUSY_SECONDS = 30.0
"""Before another look, at most, while another update of the graph is under way."""
LOOK_SECONDS = 0.1
"""Between looks at an update that is under way, and at whether to end."""


class Behind(Struct, frozen=True):
    """What was last found behind a tag."""

    tag: str = ""
    digest: str = ""
    bad: str = ""
    """Why it is not tried again."""


class Following:
    """The tags of one graph, looked at by one thread from `start` to `close`."""

    def __init__(
        self,
        graph: str,
        sources: tuple[Follow, ...],
        access: Callable[[str], Access | None],
        arrivals: Arrivals,
        state: Path,
        emit: Emit,
        counters: Callable[[], UpdateCounters],
    ) -> None:
        """`access` says how a host is reached."""
        self._graph = graph
        self._sources = sources
        self._access = access
        self._arrivals = arrivals
        self._file = file_of(state, graph, "followed")
        self._emit = emit
        self._counters = counters
        self._ending = threading.Event()
        self._behind = self._read()
        self._thread = threading.Thread(target=self._run, name=f"flowrt/follow/{graph}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Look no more; a transfer that is under way is left to end by itself."""
        self._ending.set()
        if self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def look(self, source: Follow) -> str:
        """Look once behind one tag, and try what is new; a member of `LOOKS`."""
        known = self._behind.get(source.source, Behind())
        try:
            access = self._access(host_of(source.source))
            tag = self._arrivals.fetcher.tag(source.source, access)
            if tag and tag == known.tag:
                return "known" if known.bad else "same"
            entry = self._arrivals.fetcher.bring(source.source, access, source.name or "")
            if entry.manifest == known.digest:
                self._note(source, Behind(tag, entry.manifest, known.bad))
                return "known" if known.bad else "same"
            return self._try(source, tag, entry)
        except (FlowrtError, OSError) as error:
            self._tell(source, str(error))
            return "failed"

    def _try(self, source: Follow, tag: str, entry: Entry) -> str:
        graph = (entry, self._arrivals.fetcher.text(entry)) if entry.kind == "graph" else None
        if self._arrivals.manager.under_way(self._graph):
            return "waiting"
        try:
            running = self._arrivals.try_it(self._graph, graph, [] if graph else [entry])
        except Declined as declined:
            self._tell(source, f"{entry.reference} is not tried: {declined}")
            self._note(source, Behind(tag, entry.manifest, str(declined)))
            return "known"
        self._follow(source, Behind(tag, entry.manifest), running)
        return "new"

    def _follow(self, source: Follow, behind: Behind, running: Running | None) -> None:
        """Wait for how it ends, and remember that."""
        while running is not None and not running.ended.wait(LOOK_SECONDS):
            if self._ending.is_set() or (running.thread is not None and not running.thread.is_alive()):
                return  # the next start takes it up
        failed = running is not None and running.outcome != "proven"
        if running is not None and failed:
            asked = running.reason.startswith("asked")
            if not running.steps.remember and not asked:  # no fault of its own: it may do better next time
                return
            behind = Behind(behind.tag, behind.digest, running.reason)
        self._note(source, behind)

    def _run(self) -> None:
        dice = random.Random()  # noqa: S311 - spreads gateways, hides nothing
        due = [monotonic() + dice.random() * min(source.every, source.every * source.jitter + 1.0)
               for source in self._sources]  # fmt: skip
        while not self._ending.is_set():
            at = min(range(len(due)), key=due.__getitem__)
            if self._ending.wait(max(0.0, due[at] - monotonic())):
                return
            source = self._sources[at]
            found = self.look(source)
            counts = self._counters().looks
            counts[found] = counts.get(found, 0) + 1
            pause = min(BUSY_SECONDS, source.every) if found == "waiting" else source.every
            due[at] = monotonic() + pause * dice.uniform(1.0, 1.0 + source.jitter)

    def _tell(self, source: Follow, reason: str) -> None:
        self._emit(FollowFailed(self._graph, source.source, reason))

    def _note(self, source: Follow, behind: Behind) -> None:
        """A disk that is full costs one more transfer, no more."""
        self._behind[source.source] = behind
        value = {name: asdict(one) for name, one in self._behind.items()}
        with contextlib.suppress(OSError):
            write_whole(self._file, json.dumps(value, indent=1).encode())

    def _read(self) -> dict[str, Behind]:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            value: Any = parsed(self._file.read_bytes())
            return {str(name): Behind(**one) for name, one in value.items()}
        return {}
