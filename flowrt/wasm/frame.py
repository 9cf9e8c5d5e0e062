"""The structs of docs/abi.md, both ways, as pure functions of bytes: no engine, no guest.

Going in, a frame is `message[count]`, the distinct heads, then the payloads, all in one buffer of the guest. Coming
out, `read_result` reads and checks with list operations; only rows that carry a head of their own cost by the row.
Reading raises `BadFrame` for whatever the page does not allow. Hosts are little-endian, as WebAssembly is.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import add, le

from flowrt.message import TENSOR_BYTES, Batch, Head, Tensor
from flowrt.values import Struct

TENSOR_TYPES = ("f16", "f32", "f64", "bf16", "u8", "i32", "i64", "i8", "bool", "u16", "i16", "u32", "u64")
"""By their number in a `tensor` struct."""
MESSAGE, OUTPUT, RESULT, SPAN, PROPERTY, TIME = 24, 16, 8, 8, 16, 8
"""Sizes of the structs in bytes."""
_ONE = struct.Struct("<QIIII")
_OUTPUT = struct.Struct("<4I")
_HEAD = struct.Struct("<16I")
_PAIR = struct.Struct("<II")
_TENSOR = struct.Struct("<5I")
_PROPERTY = struct.Struct("<4I")
_REPLACE_PROPERTIES = 1
_HEAD_MAX = 1 << 20
"""Of a guest's head with its data: MQTT's texts have 65,535 bytes each."""
_RANK_MAX = 16
_ELEMENTS_MAX = 1 << 32
_COPY_SINGLY = 2048
"""Mean payload from which each is copied by itself and not through one piece of memory for all."""

_HELD = 256
"""Bytes the host holds for an output besides its payload, roughly."""

Room = Callable[[int], memoryview]
"""`LinearMemory.room`: the memory when it has that many bytes, or an exception."""


_FIRST = range(1)


class BadFrame(Exception):
    """What a guest gave is not what docs/abi.md allows: why."""


class TooLarge(BadFrame):
    """A payload is larger than the node may make."""


class TooMany(BadFrame):
    """More messages of one than the node may make."""


# --- in ----------------------------------------------------------------------------------------------------


def pack_head(head: Head) -> bytes:
    """A head as a guest reads it, wherever it is put. Attributes a guest has no use for (schema, retain, the sender's
    clock) are not in it; they stay with the message."""
    data = bytearray()

    def put(part: bytes) -> tuple[int, int]:
        at = _HEAD.size + len(data)
        data.extend(part)
        return (at, len(part)) if part else (0, 0)

    def pad(to: int) -> None:
        data.extend(bytes(-len(data) % to))

    properties = [(*put(key.encode()), *put(value.encode())) for key, value in head.properties]
    pad(4)
    tensors = []
    for tensor in head.tensors:
        dims, _ = put(struct.pack(f"<{len(tensor.shape)}i", *tensor.shape))
        name = put(tensor.name.encode())
        pad(4)
        tensors.append(_TENSOR.pack(*name, TENSOR_TYPES.index(tensor.type), len(tensor.shape), dims))
    tensor_at, _ = put(b"".join(tensors))
    property_at, _ = put(b"".join(_PROPERTY.pack(*pair) for pair in properties))
    texts = [
        put(text)
        for text in (
            head.topic.encode(),
            (head.content_type or "").encode(),
            (head.response_topic or "").encode(),
            head.correlation or b"",
        )
    ]
    pad(8)
    fields = [number for text in texts for number in text]
    counts = (property_at, len(properties), tensor_at, len(tensors))
    return _HEAD.pack(_HEAD.size + len(data), 0, *fields, *counts, 0, 0) + data


def write_frame(
    memory: memoryview, base: int, batch: Batch, heads: Sequence[bytes], head_of: Sequence[int] | None, sizes: list[int]
) -> None:
    """Put a batch at address `base`. `heads` are the distinct packed heads, `head_of` the index of each row's (None:
    the first for all), `sizes` the length of each payload. The memory must have room."""
    count = len(sizes)
    if count == 1:
        head, size = heads[0], sizes[0]
        at = base + MESSAGE
        front = _ONE.pack(batch.times[0], at + len(head), size, at, 0)
        memory[base : at + len(head) + size] = front + head + batch.payloads[0]
        return
    starts = list(accumulate(map(len, heads), initial=base + count * MESSAGE))
    payload_base = starts.pop()
    addresses = list(accumulate(sizes, initial=payload_base))
    end = addresses.pop()
    head_at = array("I", starts[:1]) * count if head_of is None else [starts[index] for index in head_of]
    front = _messages(batch.times, addresses, sizes, head_at)
    if end - payload_base <= _COPY_SINGLY * count:
        memory[base:end] = b"".join((front, *heads, *batch.payloads))
        return
    memory[base:payload_base] = b"".join((front, *heads))
    for payload, address, size in zip(batch.payloads, addresses, sizes, strict=True):
        memory[address : address + size] = payload


def _messages(
    times: Sequence[int], addresses: Sequence[int], sizes: Sequence[int], heads: Sequence[int] | array[int]
) -> bytes:
    """`message[]`, field by field: a column is converted and strided into place at C speed."""
    wide = array("Q", bytes(MESSAGE * len(sizes)))
    wide[0::3] = array("Q", times)
    words = array("I", wide.tobytes())
    words[2::6] = array("I", addresses)
    words[3::6] = array("I", sizes)
    words[4::6] = array("I", heads)
    return words.tobytes()


def write_properties(properties: Iterable[tuple[str, str]], base: int) -> bytes:
    """`property[]` with its texts, for address `base`."""
    pairs = [(key.encode(), value.encode()) for key, value in properties]
    structs, texts = bytearray(), bytearray()
    at = base + PROPERTY * len(pairs)
    for key, value in pairs:
        structs += _PROPERTY.pack(at + len(texts), len(key), at + len(texts) + len(key), len(value))
        texts += key + value
    return bytes(structs + texts)


# --- out ----------------------------------------------------------------------------------------------------


class Bounds(Struct, frozen=True):
    """What a guest may make of a batch."""

    payload: int
    """Bytes of one payload."""
    outputs: int
    """Messages of one message."""
    total: int
    """Bytes the host holds for what a guest makes at once, unless it is one for one: payloads may overlap, so a small
    memory could otherwise describe a huge result."""


Made = tuple[Sequence[int], list[bytes], list[int] | None, int]
"""A checked `result`: the row each output derives from (`range(count)` where each message became one), the payloads,
the addresses of heads, 0 for the input's, None when all are 0; and the bytes of all payloads."""


def read_pair(room: Room, address: int) -> tuple[int, int]:
    """A `result` or `span`: its two words."""
    return _PAIR.unpack_from(room(address + _PAIR.size), address)


def read_result(room: Room, address: int, count: int, bounds: Bounds) -> Made:
    """What `flowrt_map` gave for a batch of `count` messages."""
    outputs, made = _PAIR.unpack_from(room(address + _PAIR.size), address)
    if made == 1 == count:
        row, start, size, head = _OUTPUT.unpack_from(room(outputs + OUTPUT), outputs)
        if not row and size <= bounds.payload:
            return _FIRST, [room(start + size)[start : start + size].tobytes()], [head] if head else None, size
    if made > count * bounds.outputs:
        raise TooMany(f"{made} messages of {count}; at most {bounds.outputs} of one are allowed")
    if not made:
        return (), [], None, 0
    held = made * _HELD if made > count else 0
    if held > bounds.total:
        raise TooMany(f"{made} messages at once, more than its memory allows")
    end = outputs + OUTPUT * made
    words = room(end)[outputs:end].cast("I").tolist()
    rows, addresses, sizes, heads = words[0::4], words[1::4], words[2::4], words[3::4]
    if max(sizes) > bounds.payload:
        raise TooLarge(f"a payload of {max(sizes)} bytes; at most {bounds.payload} are allowed")
    total = sum(sizes)
    if held + total > max(bounds.total, count * bounds.payload if not held else 0):
        raise TooLarge(f"{total} bytes of payloads at once, more than its memory allows")
    payloads = _payloads(room, addresses, sizes, total)
    return _rows(rows, count, bounds.outputs), payloads, heads if any(heads) else None, total


def _rows(rows: list[int], count: int, most: int) -> Sequence[int]:
    whole = range(count)
    if len(rows) == count and rows == list(whole):
        return whole
    if rows[-1] >= count:
        raise BadFrame(f"an output of row {rows[-1]}, but the batch has {count}")
    if count == 1 and not any(rows):
        return rows
    if not all(map(le, rows, rows[1:])):
        raise BadFrame("outputs whose rows decrease")
    # Rows do not decrease, so a row with too many outputs stands again `most` places further on.
    if len(rows) > most and any(map(int.__eq__, rows, rows[most:])):
        raise TooMany(f"more than {most} messages of one")
    return rows


def _payloads(room: Room, addresses: list[int], sizes: list[int], total: int) -> list[bytes]:
    """Copies, of `total` bytes. Small payloads that lie close together are copied once as a whole and then cut, which
    is faster."""
    ends = list(map(add, addresses, sizes))
    last = max(ends)
    memory = room(last)
    first = min(addresses)
    if len(sizes) > 1 and last - first <= 2 * total + 64 * len(sizes) and total <= _COPY_SINGLY * len(sizes):
        block = memory[first:last].tobytes()
        if not first:
            return [block[start:end] for start, end in zip(addresses, ends, strict=True)]
        return [block[start - first : end - first] for start, end in zip(addresses, ends, strict=True)]
    return [memory[start:end].tobytes() for start, end in zip(addresses, ends, strict=True)]


def read_head(room: Room, address: int) -> bytes:
    """The bytes of a guest's head, for `unpack_head`."""
    memory = room(address + _HEAD.size)
    size = int.from_bytes(memory[address : address + 4], "little")
    if size < _HEAD.size or size % 8 or size > _HEAD_MAX:
        raise BadFrame(f"a head of {size} bytes")
    return room(address + size)[address : address + size].tobytes()


def unpack_head(blob: bytes, given: Head) -> Head:
    """The head of an output: a guest's head over the head of the message it derives from."""
    _, flags, *fields = _HEAD.unpack_from(blob)
    if flags & ~_REPLACE_PROPERTIES:
        raise BadFrame(f"a head with flags 0x{flags:x}")
    at, count = fields[8], fields[9]
    properties = given.properties
    if flags & _REPLACE_PROPERTIES:
        pairs = _PROPERTY.iter_unpack(_cut(blob, at, count * _PROPERTY.size))
        properties = tuple((_text(blob, *pair[:2]), _text(blob, *pair[2:])) for pair in pairs)
    tensors = _TENSOR.iter_unpack(_cut(blob, fields[10], fields[11] * _TENSOR.size))
    return given.with_(
        topic=_text(blob, *fields[0:2]) or given.topic,
        content_type=_text(blob, *fields[2:4]) or given.content_type,
        response_topic=_text(blob, *fields[4:6]) or given.response_topic,
        correlation=_cut(blob, *fields[6:8]) or given.correlation,
        properties=properties,
        tensors=tuple(_tensor(blob, *numbers) for numbers in tensors),
    )


def _cut(blob: bytes, at: int, size: int) -> bytes:
    if not size:
        return b""
    if at + size > len(blob):
        raise BadFrame(f"a head whose data reaches {at + size - len(blob)} bytes beyond it")
    return blob[at : at + size]


def _text(blob: bytes, at: int, size: int) -> str:
    try:
        return _cut(blob, at, size).decode()
    except UnicodeDecodeError as error:
        raise BadFrame("a text that is not UTF-8") from error


def _tensor(blob: bytes, name: int, name_size: int, kind: int, rank: int, dims: int) -> Tensor:
    if kind >= len(TENSOR_TYPES) or rank > _RANK_MAX:
        raise BadFrame(f"a tensor of type {kind} and rank {rank}")
    shape = struct.unpack(f"<{rank}i", _cut(blob, dims, 4 * rank))
    elements = 1
    for extent in shape:
        elements *= extent
        if extent < 0 or elements > _ELEMENTS_MAX:
            raise BadFrame(f"a tensor of shape {list(shape)}")
    return Tensor(_text(blob, name, name_size), TENSOR_TYPES[kind], shape)


assert set(TENSOR_TYPES) == set(TENSOR_BYTES)  # noqa: S101 - both lists name the same types
