"""Which source of a connection a message is for. Their filters do not overlap, so there is one at most."""

from __future__ import annotations

from collections.abc import Sequence

from flowrt.endpoints.mqtt.source import MqttSource
from flowrt.endpoints.topics import matches
from flowrt.message import Head

TOPICS_MAX = 16384
"""Topics remembered. With more at once the filters are compared again; memory stays bounded."""


class Routes:
    """Filters are compared once a topic. `sources` may grow until the first message; after other changes of filters,
    `forget`."""

    def __init__(self, sources: Sequence[MqttSource]) -> None:
        self._sources = sources
        self._known: dict[str, MqttSource | None] = {}

    def forget(self) -> None:
        """Compare anew."""
        self._known = {}

    def of(self, head: Head) -> MqttSource | None:
        """The source that subscribed to a message's topic and wants what was retained, if it was."""
        known = self._known
        if head.topic not in known:
            if len(known) >= TOPICS_MAX:
                known.clear()
            wanting = (one for one in self._sources if any(matches(name, head.topic) for name in one.filters))
            known[head.topic] = next(wanting, None)
        source = known[head.topic]
        return None if source is not None and head.retain and not source.wants_retained else source

    def of_all(self, heads: Sequence[Head]) -> MqttSource | None:
        """The source that all of these are for, or None where there is not just one."""
        first = self.of(heads[0])
        others = set(heads)
        if len(others) > 1 and any(self.of(head) is not first for head in others):
            return None
        return first
