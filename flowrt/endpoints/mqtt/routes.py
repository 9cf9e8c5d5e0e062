"""Which sources of a connection a message is for."""

from __future__ import annotations

from collections.abc import Sequence

from flowrt.endpoints.mqtt.source import MqttSource
from flowrt.endpoints.topics import matches
from flowrt.message import Head

TOPICS_MAX = 16384
"""Topics remembered. With more at once the filters are compared again; memory stays bounded."""

Sources = tuple[MqttSource, ...]


class Routes:
    """Filters are compared once a topic. `sources` may grow until the first message."""

    def __init__(self, sources: Sequence[MqttSource]) -> None:
        self._sources = sources
        self._known: dict[str, Sources] = {}

    def of(self, head: Head) -> Sources:
        """The sources that subscribed to a message's topic and want what was retained, if it was."""
        sources = self._known.get(head.topic)
        if sources is None:
            if len(self._known) >= TOPICS_MAX:
                self._known.clear()
            sources = tuple(source for source in self._sources if _wants(source, head.topic))
            self._known[head.topic] = sources
        if head.retain:
            return tuple(source for source in sources if source.wants_retained)
        return sources

    def of_all(self, heads: Sequence[Head]) -> Sources | None:
        """The sources of all of these, where they are the same for all."""
        first = self.of(heads[0])
        others = set(heads)
        if len(others) > 1 and any(self.of(head) != first for head in others):
            return None
        return first


def _wants(source: MqttSource, topic: str) -> bool:
    return any(matches(name, topic) for name in source.filters)
