"""Messages the broker refused, on their way to whoever decides about them.

Deciding may take long (a dead letter is written to disk) or publish through the very connection that reported the
refusal, so it has a thread of its own, made with the first refusal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from flowrt.errors import NodeFault
from flowrt.message import Batch

if TYPE_CHECKING:
    from flowrt.endpoints.mqtt.sink import MqttSink

_WORDS = {
    0x80: "unspecified error",
    0x83: "implementation specific error",
    0x87: "not authorized",
    0x90: "topic name invalid",
    0x91: "packet identifier in use",
    0x97: "quota exceeded",
    0x99: "payload format invalid",
}
"""MQTT 5, sections 3.4.2.1 and 3.5.2.1."""

_FOR_NOW = (0x80, 0x83, 0x97)
"""What a broker may take a moment later. The others are the message's, or for good."""

Done = Callable[["MqttSink"], None]
_Entry = tuple["MqttSink", Batch, NodeFault, Done]


def refusal(reason: int) -> NodeFault:
    """A broker's reason code as a fault."""
    kind = "busy" if reason in _FOR_NOW else "send"
    return NodeFault(kind, f"the broker refused the message: {_WORDS.get(reason, 'unknown reason')} (0x{reason:02x})")


class Refusals:
    """A queue and its thread."""

    def __init__(self, endpoint: str) -> None:
        self._name = f"flowrt/{endpoint}/refused"
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, sink: MqttSink, rows: Batch, fault: NodeFault, done: Done) -> None:
        """Have `sink.refuse` called, then `done`. Called by one thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._queue.put((sink, rows, fault, done))

    def close(self) -> None:
        """End the thread after what is in the queue."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._queue.put(None)
            self._thread.join(2.0)

    def _run(self) -> None:
        while (entry := self._queue.get()) is not None:
            sink, rows, fault, done = entry
            sink.refuse(rows, fault)
            done(sink)
