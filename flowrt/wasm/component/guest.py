"""A component as operators see it: one instance, called once a message.

A message that the guest refuses, or whose output cannot be one, is lost alone; a trap ends the instance. A component
has no way to hand its state over: a fresh instance begins anew, and what must survive belongs in the state store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_not
from typing import Literal

from wasmtime import component as native

from flowrt.counters import NodeCounters
from flowrt.errors import FlowrtBug, GuestTrap, NodeFault
from flowrt.graph.worlds import interface
from flowrt.logicaltime.stamps import DRIFT_MS, milliseconds
from flowrt.message import Batch, Head, Message
from flowrt.operators.base import Errors, GuestOutput
from flowrt.quota.meter import Meter
from flowrt.quota.pool import Pool
from flowrt.quota.resources import Resources
from flowrt.wasm.component.folding import FoldSender
from flowrt.wasm.component.grants import NOTHING_GRANTED, Grants
from flowrt.wasm.component.receiving import Receiver, Refused
from flowrt.wasm.component.sending import BYTES_MAX, Sender, Sent
from flowrt.wasm.component.store import NOTHING, ComponentStore, HostCall, Offer
from flowrt.wasm.component.values import Arena, as_bool
from flowrt.wasm.crossing import Limits
from flowrt.wasm.engine import Engine
from flowrt.wasm.log import GuestLog, LineBuffer


class ComponentGuest:
    """Implements `operators.base.Guest`; raises `GuestTrap` when it does not come up. The log belongs to the node and
    outlives the instance."""

    def __init__(
        self,
        engine: Engine,
        component: native.Component,
        kind: str,
        resources: Resources,
        properties: Sequence[tuple[str, str]],
        imports: Sequence[HostCall],
        log: GuestLog,
        schemas: Sequence[tuple[str, str, str]] = (),
        meter: Meter | None = None,
        pool: Pool | None = None,
        extra: Offer = NOTHING,
        grants: Grants = NOTHING_GRANTED,
        *,
        counters: NodeCounters,
        preview: bool = False,
    ) -> None:
        """`preview`: it is one of AIO's preview, whose interfaces have other names and give no errors."""
        self._interface = interface(kind, preview=preview)
        self._kind = kind
        self._counters = counters
        self._sender = Sender()
        self._streams = (
            LineBuffer(lambda text: log.write("info", text)),
            LineBuffer(lambda text: log.write("warning", text)),
        )
        limits = Limits(
            resources.memory, resources.deadline, resources.fuel, meter=meter, pool=pool, stack=resources.stack
        )
        outputs = (self._streams[0].feed, self._streams[1].feed)
        try:
            self.store = self._store = ComponentStore(
                engine, component, [*imports, *extra.calls], limits, outputs,
                resources=extra.resources, grants=grants, types=interface("types", preview=preview),
            )  # fmt: skip
        except GuestTrap as trap:
            raise _of_init(trap) from trap
        self._receiver = Receiver(self._store.take, resources.message, bare=preview)
        self._fold: FoldSender | None = None
        self._message_max = resources.message
        try:
            self._process = self._bound(kind)
            self._init(properties, schemas)
        except GuestTrap as trap:
            self.close()
            raise _of_init(trap) from trap
        except BaseException:
            self.close()
            raise

    def map(self, batch: Batch) -> GuestOutput:
        batch = self._taken(batch, "map")
        rows, payloads, heads = [], [], []
        errors: dict[int, str | NodeFault] = {}
        changed = False
        for row, (head, payload, time) in enumerate(zip(batch.heads, batch.payloads, batch.times, strict=True)):
            result, sent, resource = self._call(head, payload, time)
            try:
                made, data = self._receiver.message(result, head, sent)
            except Refused as refused:
                errors[row] = _fault(refused)
                continue
            finally:
                self._after(resource)
            rows.append(row)
            payloads.append(data)
            heads.append(made)
            changed = changed or made is not head
        count = len(batch)
        return GuestOutput(range(count) if not errors else rows, payloads, heads if changed else None, errors)

    def decide(self, entry: Literal["filter", "branch"], batch: Batch) -> tuple[bytes, Errors]:
        batch = self._taken(batch, entry)
        verdicts = bytearray(len(batch))
        errors: dict[int, str | NodeFault] = {}
        for row, (head, payload, time) in enumerate(zip(batch.heads, batch.payloads, batch.times, strict=True)):
            if entry == "branch":
                self._sender.time(time)
            result, _, resource = self._call(head, payload, time)
            try:
                verdicts[row] = self._receiver.verdict(result)
            except Refused as refused:
                errors[row] = _fault(refused)
            finally:
                self._after(resource)
        return bytes(verdicts), errors

    def accumulate(self, staged: Message, batch: Batch) -> Message:
        batch = self._taken(batch, "accumulate")
        if self._fold is None:
            raise FlowrtBug("a guest made for another kind is asked for accumulate")
        try:
            sent = self._fold.messages(staged, batch)
            head, payload = self._receiver.message(self._process(), staged.head, sent)
        except Refused as refused:
            raise NodeFault(refused.kind, str(refused)) from None
        finally:
            self._store.release()
            self._fold.forget()
        return Message(head, payload, staged.time)

    def delay(self, batch: Batch) -> tuple[Sequence[int], Errors]:
        batch = self._taken(batch, "delay")
        times = list(batch.times)
        errors: dict[int, str | NodeFault] = {}
        for row, (head, payload, time) in enumerate(zip(batch.heads, batch.payloads, batch.times, strict=True)):
            self._sender.time(time)
            result, _, resource = self._call(head, payload, time)
            try:
                times[row] = self._receiver.clock(result)
            except Refused as refused:
                errors[row] = _fault(refused)
            finally:
                self._after(resource)
        return times, errors

    def save(self) -> bytes | None:
        """A component cannot be asked for its state."""
        return None

    def restore(self, state: bytes) -> None:
        raise FlowrtBug(f"a component has no state to restore from {len(state)} bytes")

    def memory_bytes(self) -> int:
        """Linear memory in use: safe to ask from any thread."""
        return self._store.memory_bytes()

    def asleep(self) -> float | None:
        """Seconds since the present call was to be looked at, when that is so long that its guest cannot be working;
        None for any other call, or none. Safe to ask from any thread."""
        due = self._store._deadline
        look, now = self._store._watch.running.get(due), self._store._watch.clock()
        return now - look if look is not None and now > look + due.patience else None

    def leave(self) -> None:
        """Nobody waits for the call under way: it ends as soon as it is back, and reaches nothing of the host."""
        self._store.broken = True
        self._store._deadline._ends = _always

    def close(self) -> None:
        self._store.close()
        for stream in self._streams:
            stream.flush()

    def _taken(self, batch: Batch, kind: str) -> Batch:
        """A batch that may be given to the guest: a sender's clock that is too far ahead is not shown to it."""
        if kind != self._kind:
            raise FlowrtBug(f"a guest made for {self._kind} is asked for {kind}")
        largest = max(map(len, batch.payloads), default=0)
        if largest > self._message_max:
            raise NodeFault("size", f"a payload of {largest} bytes; the node takes {self._message_max}")
        if not any(head.timestamp for head in batch.heads):
            return batch
        heads = list(map(_believed, batch.heads, batch.times))
        self._counters.drifted += sum(map(is_not, heads, batch.heads))
        return batch.with_payloads(batch.payloads, heads)

    def _call(self, head: Head, payload: bytes, time: int) -> tuple[bytes, Sent, int]:
        """Call `process`; gives its result, what the guest saw, and the resource that carried the payload or 0."""
        resource = self._store.lend(payload) if len(payload) > BYTES_MAX else 0
        sent = self._sender.message(head, payload, time, resource)
        return self._process(), sent, resource

    def _after(self, resource: int) -> None:
        self._store.release()
        if resource:
            self._store.forget(resource)

    def _bound(self, kind: str) -> Callable[[], bytes]:
        sender = self._sender
        if kind == "branch":
            return self._store.function(self._interface, "process", sender.clock_address, 2)
        if kind == "delay":
            return self._store.function(self._interface, "process", sender.message_address, 2)
        if kind == "accumulate":
            self._fold = FoldSender(self._store.lend, self._store.forget)
            return self._store.function(self._interface, "process", self._fold.address, 2)
        return self._store.function(self._interface, "process", sender.message_address, 1)

    def _init(self, properties: Sequence[tuple[str, str]], schemas: Sequence[tuple[str, str, str]]) -> None:
        arena = Arena()
        texts = [map(arena.string, schema) for schema in schemas]
        known = arena.sequence(
            *(arena.record(name=name, content_type=form, content=content) for name, form, content in texts)
        )
        pairs = arena.sequence(*(arena.pair(arena.string(key), arena.string(value)) for key, value in properties))
        configuration = arena.put(arena.record(properties=pairs, module_schemas=known))
        accepted = as_bool(self._store.function(self._interface, "init", configuration, 1)())
        self._store.release()
        if not accepted:
            self._store.broken = True
            raise GuestTrap("init", "init refused the configuration: it returned false")


def _always() -> bool:
    return True


def _believed(head: Head, time: int) -> Head:
    """Where an operation keeps time, the source has looked already."""
    drifted = head.timestamp is not None and head.timestamp[0] > milliseconds(time) + DRIFT_MS
    return head.with_(timestamp=None) if drifted else head


def _fault(refused: Refused) -> str | NodeFault:
    return str(refused) if refused.kind == "error" else NodeFault(refused.kind, str(refused))


def _of_init(trap: GuestTrap) -> GuestTrap:
    """A plain trap before the first message is the fault of `init`; a limit or a breach keeps its kind."""
    if trap.kind == "trap":
        return GuestTrap("init", trap.detail, trap.backtrace)
    return trap
