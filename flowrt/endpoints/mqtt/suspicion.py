"""Messages over which a broker ends the connection, whenever they are sent: some do that to a topic that they find
malformed or forbidden, or to a payload that is too large for them.

Such a message would be repeated for ever, and be in the way of all others. So after some connections that ended without
a single confirmation, messages are sent one by one; one over which the connection then ends several times is guilty.
Two guilty messages of one topic without a good one between them make its topic guilty, for a while. Plain data: the
caller holds the lock, and hands the time in.
"""

from __future__ import annotations

ENDS = 3
"""So many connections in a row that brought no confirmation, before messages are sent one by one."""
CALM_SECONDS = 1.0
"""A connection must have stood so long before it is tried on a message: one that ends anyway proves nothing."""
PROMPT_SECONDS = 2.0
"""It must end as soon as this after the message was sent: a link that merely dies takes longer to be noticed."""
PROOFS = 3
"""So often."""
SHUN_SECONDS = 600.0
"""How long a guilty topic's messages are refused without being sent. Then one is tried: the rules may have changed."""
TOPICS_MAX = 1024


class Suspicion:
    """One for each connection of sinks."""

    def __init__(self) -> None:
        self.alone = False
        """Whether messages are sent one by one."""
        self.shuns = 0
        """How often a topic was found guilty: what was prepared before is to be looked at again."""
        self._ends = 0
        self._opened_at = self._sent_at = 0.0
        self._progress = False
        self._suspect: int | None = None
        self._proofs = 0
        self._guilty: dict[str, int] = {}
        """Guilty messages by topic."""
        self._until: dict[str, float] = {}
        """When a topic's time is over."""

    def opened(self, now: float) -> None:
        self._opened_at, self._progress = now, False

    def may_send(self, on_wire: int, now: float) -> bool:
        """Whether the next message may follow."""
        return not self.alone or (not on_wire and now - self._opened_at >= CALM_SECONDS)

    def sending(self, packet_id: int | None, now: float) -> None:
        """One message more, while they are sent one by one; None for one that the broker has already."""
        if packet_id != self._suspect:
            self._suspect, self._proofs = packet_id, 0
        self._sent_at = now

    def confirmed(self, *, all_clear: bool, topic: str | None) -> None:
        """The broker took messages; `all_clear`: none is left to be repeated. `topic`: of one that was sent alone."""
        self._progress = True
        self._ends = 0
        if self.alone:
            self._suspect, self._proofs = None, 0
            self._guilty.pop(topic or "", None)
            self.alone = not all_clear

    def lost(self, on_wire: int, now: float) -> int | None:
        """The connection has ended with so many messages on the wire: the packet identifier of a guilty one."""
        if not self.alone:
            self._ends = self._ends + 1 if on_wire and not self._progress else 0
            self.alone = self._ends >= ENDS
            return None
        if on_wire != 1 or self._suspect is None or now - self._sent_at > PROMPT_SECONDS:
            return None
        self._proofs += 1
        if self._proofs < PROOFS:
            return None
        guilty, self._suspect, self._proofs = self._suspect, None, 0
        return guilty

    def found_guilty(self, topic: str, now: float) -> bool:
        """A message of that topic is guilty; whether the topic is now, too."""
        if len(self._guilty) >= TOPICS_MAX:
            self._guilty.clear()
        self._guilty[topic] = self._guilty.get(topic, 0) + 1
        if self._guilty[topic] < 2:
            return False
        if len(self._until) >= TOPICS_MAX:
            self._until.clear()
        self._until[topic] = now + SHUN_SECONDS
        self._guilty[topic] = 1  # when its time is over, one guilty message more is enough
        self.shuns += 1
        return True

    def shuns_topic(self, topic: str, now: float) -> bool:
        """Whether messages of a topic are not to be sent at present."""
        until = self._until.get(topic)
        if until is None:
            return False
        if now < until:
            return True
        del self._until[topic]
        return False
