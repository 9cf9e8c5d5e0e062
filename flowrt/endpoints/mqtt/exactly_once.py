"""Messages of QoS 2 between PUBLISH and PUBREL, over all links of one session at the broker (MQTT 5, 4.3.3).

A message that the broker repeats over a new link is not handled again: it is answered over that link once it is
settled. PUBREC packets leave in the order in which their messages came first (MQTT 5, 4.6), so one tracker serves all
links, and a message that came over an earlier one holds back those behind it.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.mqtt.scan import PUBREC, Run
from flowrt.values import Struct

if TYPE_CHECKING:
    from flowrt.endpoints.mqtt.link import Link

_RECEIVED = bytes((PUBREC, 2))


class _Received(Struct, eq=False):
    packet_id: bytes
    link: Link
    """Over which it came last."""
    settled: bool = False


class ExactlyOnce:
    """Made anew when the broker has lost the session: what an old one still settles is answered to nobody."""

    def __init__(self) -> None:
        self.tracker = Tracker(self._release)
        self._lock = threading.Lock()
        """Held while PUBREC packets are written, so that they leave in order. A link's `write` does not wait."""
        self._open: dict[bytes, _Received] = {}
        self._owed: deque[_Received] = deque()

    def arrive(self, link: Link, run: Run) -> tuple[Run, range]:
        """The messages of a run that are new, and their numbers at `tracker`."""
        fresh = Run(2, again=run.again)
        with self._lock:
            for head, payload, packet_id in zip(run.heads, run.payloads, run.ids, strict=True):
                known = self._open.get(packet_id)
                if known is None:
                    fresh.heads.append(head)
                    fresh.payloads.append(payload)
                    fresh.ids.append(packet_id)
                    received = self._open[packet_id] = _Received(packet_id, link)
                    self._owed.append(received)
                    continue
                known.link = link
                if known.settled:
                    link.write([_RECEIVED + packet_id])
        return fresh, self.tracker.open(len(fresh.ids))

    def complete(self, packet_id: bytes) -> None:
        """The broker has let go of the identifier."""
        with self._lock:
            self._open.pop(packet_id, None)

    def _release(self, count: int) -> None:
        with self._lock:
            for _ in range(count):
                received = self._owed.popleft()
                received.settled = True
                received.link.write([_RECEIVED + received.packet_id])
