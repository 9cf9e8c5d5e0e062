"""A core-module guest: docs/abi.md, spoken with one instance."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import wasmtime

from flowrt.errors import FlowrtBug, GuestMisuse, GuestTrap, NodeFault
from flowrt.message import Batch, Head, Message
from flowrt.operators.base import GuestOutput
from flowrt.quota.meter import Meter
from flowrt.quota.pool import Pool
from flowrt.quota.resources import Resources
from flowrt.wasm import frame
from flowrt.wasm.crossing import Call, Crossing, Limits
from flowrt.wasm.engine import Engine
from flowrt.wasm.frame import BadFrame, TooLarge, TooMany
from flowrt.wasm.heads import NodeHeads, check_tensors
from flowrt.wasm.imports import BadAddress, HostFunction, flowrt_functions
from flowrt.wasm.log import GuestLog
from flowrt.wasm.tables import ANY_TABLES, Tables
from flowrt.wasm.wasi import MODULE as WASI
from flowrt.wasm.wasi import Wasi

ABI = 1
_ALIGNMENT = 16
_PAGE = 4096
_SPARE_MAX = 1 << 20
"""Frames up to 1 MiB get a quarter more room than they need, so that a growing batch rarely asks anew."""
_FRAME_PART = 4
"""A frame takes at most a quarter of a guest's memory where it can be divided: the guest needs room for its work."""


class CoreGuest:
    """One instance. Implements `operators.base.Guest`; raises `GuestTrap` when it does not come up.

    `wasi` grants, log and counters belong to the node and outlive the instance, as do `heads`.
    """

    def __init__(
        self,
        engine: Engine,
        module: wasmtime.Module,
        resources: Resources,
        properties: Sequence[tuple[str, str]],
        heads: NodeHeads,
        log: GuestLog,
        grants: frozenset[str],
        deny: Callable[[str], None],
        extra: Sequence[HostFunction] = (),
        *,
        tables: Tables = ANY_TABLES,
        meter: Meter | None = None,
        pool: Pool | None = None,
    ) -> None:
        self._message_max = resources.message
        self._heads = heads
        self._bounds = frame.Bounds(resources.message, resources.outputs, resources.memory)
        self._frame_max = resources.memory // _FRAME_PART
        self._rows = 0
        self._errors: dict[int, str] = {}
        self._buffer_at = self._buffer_size = 0
        self._wasi = Wasi(grants, log.write, deny)
        wanted = {found.name for found in module.imports if found.module == WASI}
        imports = [*flowrt_functions(log, self._fail), *self._wasi.functions(wanted), *extra]
        limits = Limits(resources.memory, resources.deadline, resources.fuel, tables, meter, pool, resources.stack)
        try:
            self._crossing = Crossing(engine, module, imports, limits)
        except GuestTrap as trap:
            raise _of_init(trap) from trap
        try:
            self._begin(properties)
        except GuestTrap as trap:
            self.close()
            raise _of_init(trap) from trap
        except BaseException:
            self.close()
            raise

    def map(self, batch: Batch) -> GuestOutput:
        if self._map is None:
            raise FlowrtBug("the module has no flowrt_map")
        if len(batch) == 0:
            return GuestOutput(range(0), ())
        sizes, divide = self._sizes(batch)
        if divide:
            return _joined([(part, start, self.map(part)) for part, start in _halves(batch)])
        shared = _shared(batch.heads)
        address = self._enter(self._map, batch, sizes, shared)
        try:
            made = frame.read_result(self._memory.room, address, len(sizes), self._bounds)
            rows, payloads, _, size = made
            out = self._heads_of(made, batch, shared)
        except (BadFrame, BadAddress) as error:
            raise self._misuse(error) from error
        if self._errors and not self._errors.keys().isdisjoint(rows):
            raise self._crossing.misuse("an output of a message that it has failed")
        return GuestOutput(rows, payloads, out, self._errors, size)

    def decide(self, entry: Literal["filter", "branch"], batch: Batch) -> tuple[bytes, Mapping[int, str]]:
        call = self._filter if entry == "filter" else self._branch
        if call is None:
            raise FlowrtBug(f"the module has no flowrt_{entry}")
        if len(batch) == 0:
            return b"", {}
        sizes, divide = self._sizes(batch)
        if divide:
            return _together([(start, self.decide(entry, part)) for part, start in _halves(batch)])
        address = self._enter(call, batch, sizes, _shared(batch.heads))
        return self._verdicts(address, len(sizes)), self._errors

    def accumulate(self, staged: Message, batch: Batch) -> Message:
        if self._accumulate is None:
            raise FlowrtBug("the module has no flowrt_accumulate")
        whole = _with_first(staged, batch)
        sizes, divide = self._sizes(whole)
        if divide and len(batch) > 1:
            for part, _ in _halves(batch):
                staged = self.accumulate(staged, part)
            return staged
        shared = _shared(whole.heads)
        address = self._enter(self._accumulate, whole, sizes, shared)
        try:
            made = frame.read_result(self._memory.room, address, len(sizes), self._bounds)
            heads = self._heads_of(made, whole, shared)
        except (BadFrame, BadAddress) as error:
            raise self._misuse(error) from error
        if self._errors:
            raise NodeFault("error", next(iter(self._errors.values())))
        if list(made[0]) != [0]:
            raise self._crossing.misuse(f"{len(made[0])} messages of a fold, which gives one, of row 0")
        return Message(heads[0] if heads is not None else staged.head, made[1][0], staged.time)

    def delay(self, batch: Batch) -> tuple[Sequence[int], Mapping[int, str]]:
        if self._delay is None:
            raise FlowrtBug("the module has no flowrt_delay")
        if len(batch) == 0:
            return (), {}
        sizes, divide = self._sizes(batch)
        if divide:
            parts = [(start, self.delay(part)) for part, start in _halves(batch)]
            times = [time for _, (part, _) in parts for time in part]
            return times, {start + row: words for start, (_, errors) in parts for row, words in errors.items()}
        address = self._enter(self._delay, batch, sizes, _shared(batch.heads))
        try:
            times = array("Q", self._memory.read(address, frame.TIME * len(sizes))).tolist()
        except BadAddress as error:
            raise self._misuse(error) from error
        return times, self._errors

    def save(self) -> bytes | None:
        if self._save is None:
            return None
        address = self._save()
        try:
            data, size = frame.read_pair(self._memory.room, address)
            return self._memory.read(data, size)
        except BadAddress as error:
            raise self._misuse(error) from error

    def restore(self, state: bytes) -> None:
        if self._restore is None:
            raise FlowrtBug("the module has no flowrt_restore")
        base = self._room_for(len(state))
        self._memory.write(base, state)
        if self._restore(base, len(state)):
            self._crossing.broken = True
            raise GuestTrap("init", "flowrt_restore refused the state")

    def memory_bytes(self) -> int:
        """Linear memory and tables: safe to ask from any thread."""
        return self._crossing.memory_bytes()

    def observe(self, look: Callable[..., int | None]) -> int:
        """See `Crossing.observe`."""
        return self._crossing.observe(look)

    def close(self) -> None:
        self._wasi.flush()
        self._crossing.close()

    # The start of an instance.

    def _begin(self, properties: Sequence[tuple[str, str]]) -> None:
        crossing = self._crossing
        self._memory = crossing.memory
        crossing.run("_initialize")
        abi = crossing.bind("flowrt_abi", 0, 1)
        buffer = crossing.bind("flowrt_buffer", 1, 1)
        if abi is None or buffer is None:
            raise crossing.misuse("it does not export flowrt_abi and flowrt_buffer")
        if (version := abi()) != ABI:
            raise crossing.misuse(f"it speaks version {version} of the ABI; this host speaks {ABI}")
        self._buffer: Call = buffer
        self._map = crossing.bind("flowrt_map", 2, 1)
        self._filter = crossing.bind("flowrt_filter", 2, 1)
        self._branch = crossing.bind("flowrt_branch", 2, 1)
        self._accumulate = crossing.bind("flowrt_accumulate", 2, 1)
        self._delay = crossing.bind("flowrt_delay", 2, 1)
        self._save = crossing.bind("flowrt_save", 0, 1)
        self._restore = crossing.bind("flowrt_restore", 2, 1)
        if self._save is not None and self._restore is None:
            raise crossing.misuse("it exports flowrt_save without flowrt_restore")
        self._init(properties)

    def _init(self, properties: Sequence[tuple[str, str]]) -> None:
        init = self._crossing.bind("flowrt_init", 2, 1)
        if init is None:
            return
        base = self._room_for(len(frame.write_properties(properties, 0))) if properties else 0
        if properties:
            self._memory.write(base, frame.write_properties(properties, base))
        if refusal := init(base, len(properties)):
            self._crossing.broken = True
            raise GuestTrap("init", f"flowrt_init refused the configuration with {refusal}")

    # A batch on its way in.

    def _sizes(self, batch: Batch) -> tuple[list[int], bool]:
        """The length of each payload, and whether the batch is too much for one call."""
        sizes = list(map(len, batch.payloads))
        total = sum(sizes)
        if total > self._message_max and max(sizes) > self._message_max:
            raise NodeFault("size", f"a payload of {max(sizes)} bytes; the node takes {self._message_max}")
        return sizes, total > self._frame_max and len(sizes) > 1

    def _enter(self, call: Call, batch: Batch, sizes: list[int], shared: Head | None) -> int:
        """Put the batch into the guest's memory and call it; gives what it returned."""
        size = len(sizes) * frame.MESSAGE + sum(sizes)
        head_of = None
        if shared is not None:
            heads = [self._heads.packed(shared)]
            size += len(heads[0])
        else:
            index = {head: place for place, head in enumerate(dict.fromkeys(batch.heads))}
            heads = list(map(self._heads.packed, index))
            head_of = list(map(index.__getitem__, batch.heads))
            size += sum(map(len, heads))
        base = self._buffer_at if size <= self._buffer_size else self._room_for(size)
        frame.write_frame(self._memory.bytes, base, batch, heads, head_of, sizes)
        if self._errors:
            self._errors = {}
        self._rows = len(sizes)
        address = call(base, self._rows)
        self._rows = 0
        return address

    def _room_for(self, size: int) -> int:
        """Address of `size` bytes that the host may fill."""
        if size > self._buffer_size:
            spare = min(size // 4, _SPARE_MAX - size) if size < _SPARE_MAX else 0
            wanted = -(-(size + spare) // _PAGE) * _PAGE
            address = self._buffer(wanted)
            if not address and wanted > size:
                wanted = size
                address = self._buffer(size)
            if not address:
                self._crossing.broken = True
                raise GuestTrap("memory", f"flowrt_buffer has no room for {size} bytes")
            if address % _ALIGNMENT:
                raise self._crossing.misuse(f"flowrt_buffer gave address 0x{address:x}, which is not 16-byte aligned")
            try:
                self._memory.room(address + wanted)
            except BadAddress as error:
                raise self._misuse(error) from error
            self._buffer_at, self._buffer_size = address, wanted
        return self._buffer_at

    def _fail(self, row: int, words: str) -> None:
        if row >= self._rows:
            raise BadAddress(f"flowrt.fail of row {row}; the batch under way has {self._rows}")
        if self._errors:
            self._errors.setdefault(row, words)
        else:
            self._errors = {row: words}  # the empty one may be part of an output already handed on

    # What came out.

    def _heads_of(self, made: frame.Made, batch: Batch, shared: Head | None) -> list[Head] | None:
        """The head of each output, or None when each is its input's."""
        rows, payloads, addresses, _ = made
        if addresses is not None:
            return self._own_heads(rows, payloads, addresses, batch)
        keep = self._heads.keep
        if shared is not None and keep(shared) is shared and not shared.tensors:
            return None
        self._heads.check_kept(payloads)
        if shared is not None:
            kept = keep(shared)
            return None if kept is shared else [kept] * len(payloads)
        given = batch.heads if isinstance(rows, range) else [batch.heads[row] for row in rows]
        heads = list(map(keep, given))
        return None if heads == list(given) else heads

    def _own_heads(
        self, rows: Sequence[int], payloads: Sequence[bytes], addresses: Sequence[int], batch: Batch
    ) -> list[Head]:
        """Heads that the guest made itself, each read once however many outputs share it."""
        self._heads.check_kept([payload for payload, address in zip(payloads, addresses, strict=True) if not address])
        room, read = self._memory.room, 0
        known: dict[tuple[int, Head], Head] = {}
        heads = []
        for row, address, payload in zip(rows, addresses, payloads, strict=True):
            given = batch.heads[row]
            if not address:
                heads.append(self._heads.keep(given))
                continue
            head = known.get((address, given))
            if head is None:
                blob = frame.read_head(room, address)
                read += len(blob)
                if read > self._bounds.total:
                    raise TooLarge(f"heads of {read} bytes at once, more than its memory allows")
                head = known[address, given] = self._heads.make(blob, given)
            check_tensors(head, payload)
            heads.append(head)
        return heads

    def _verdicts(self, address: int, count: int) -> bytes:
        try:
            verdicts = self._memory.read(address, count)
        except BadAddress as error:
            raise self._misuse(error) from error
        if self._errors:
            # The byte of a row that it failed is ignored, whatever it is.
            own = bytearray(verdicts)
            for row in self._errors:
                own[row] = 0
            verdicts = bytes(own)
        if wrong := verdicts.translate(None, b"\0\1"):
            raise self._crossing.misuse(f"a verdict of {wrong[0]}; 0 and 1 are allowed")
        return verdicts

    def _misuse(self, error: BadFrame | BadAddress) -> GuestTrap:
        self._crossing.broken = True
        if isinstance(error, TooMany):
            return GuestTrap("outputs", str(error))
        if isinstance(error, TooLarge):
            return GuestTrap("size", str(error))
        return GuestMisuse(str(error))


def _of_init(trap: GuestTrap) -> GuestTrap:
    """A plain trap before the first message is the fault of `init`; a limit or a breach keeps its kind."""
    if trap.kind == "trap":
        return GuestTrap("init", trap.detail, trap.backtrace)
    return trap


def _shared(heads: Sequence[Head]) -> Head | None:
    """The one head of all rows, when they have one."""
    first = heads[0]
    return first if len(heads) == 1 or heads.count(first) == len(heads) else None


def _with_first(message: Message, batch: Batch) -> Batch:
    return Batch(
        [message.head, *batch.heads],
        [message.payload, *batch.payloads],
        [message.time, *batch.times],
        [0.0, *batch.born],
        range(len(batch) + 1),
    )


def _halves(batch: Batch) -> list[tuple[Batch, int]]:
    middle = len(batch) // 2
    return [(batch.slice(0, middle), 0), (batch.slice(middle, len(batch)), middle)]


def _joined(parts: Sequence[tuple[Batch, int, GuestOutput]]) -> GuestOutput:
    """One output of the parts of a batch that was too large for one call."""
    rows: Sequence[int] = [start + row for _, start, output in parts for row in output.rows]
    count = sum(len(batch) for batch, _, _ in parts)
    if len(rows) == count and rows == list(range(count)):
        rows = range(count)
    heads: list[Head] | None = None
    if any(output.heads is not None for _, _, output in parts):
        heads = [
            head
            for batch, _, output in parts
            for head in (output.heads if output.heads is not None else [batch.heads[row] for row in output.rows])
        ]
    payloads = [payload for _, _, output in parts for payload in output.payloads]
    errors = {start + row: words for _, start, output in parts for row, words in output.errors.items()}
    return GuestOutput(rows, payloads, heads, errors)


def _together(parts: Sequence[tuple[int, tuple[bytes, Mapping[int, str]]]]) -> tuple[bytes, Mapping[int, str]]:
    verdicts = b"".join(part for _, (part, _) in parts)
    return verdicts, {start + row: words for start, (_, errors) in parts for row, words in errors.items()}
