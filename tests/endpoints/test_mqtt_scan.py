"""The seam: bytes in pieces of any size give the same messages; nonsense gives `Malformed` and nothing else."""

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.endpoints.mqtt.envelope import Malformed, read_5, varint
from flowrt.endpoints.mqtt.frames import Envelope, again, encode_0, encode_acked
from flowrt.endpoints.mqtt.scan import PUBREL, Acks, Item, Other, Reply, Run, Scanner
from flowrt.endpoints.mqtt.transport import JOIN_BYTES, joined
from flowrt.endpoints.mqtt.window import FIRST_ID, Window
from flowrt.logicaltime.stamps import parse_stamp
from flowrt.message import Batch, Head

Row = tuple[str, bytes, int, bool, tuple[tuple[str, str], ...]]

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0+#"), min_size=1, max_size=12)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "a/b", "plant/1/pump", "€"]) | TEXT,
        st.binary(max_size=300),
        st.sampled_from([0, 1, 2]),
        st.booleans(),
        st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    ),
    min_size=1,
    max_size=12,
)


def packets(rows: list[Row], *, five: bool) -> bytes:
    out = b""
    for number, (topic, payload, qos, retain, properties) in enumerate(rows):
        packet_id = number + 1 if qos else None
        if five:
            level = mqtt5.QoS(qos)
            out += mqtt5.PublishPacket(
                topic, payload, qos=level, retain=retain, packet_id=packet_id, user_properties=list(properties)
            ).write()
        else:
            text = topic.encode()
            body = len(text).to_bytes(2, "big") + text + (packet_id.to_bytes(2, "big") if packet_id else b"") + payload
            out += bytes((0x30 | qos << 1 | retain,)) + varint(len(body)) + body
    return out


def rows_of(items: list[Item], *, five: bool) -> list[Row]:
    return [
        (head.topic, payload, item.qos, head.retain, head.properties)
        for item in items
        if isinstance(item, Run)
        for head, payload in zip(item.heads, item.payloads, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(ROWS, st.booleans())
def test_a_stream_split_at_every_byte_gives_the_same_messages(rows: list[Row], five: bool) -> None:
    data = packets(rows, five=five)
    expected = [row if five else (*row[:4], ()) for row in rows]
    whole = Scanner(five=five, maximum_packet=2**20)
    assert rows_of(whole.feed(data), five=five) == expected
    assert rows_of(whole.feed(data), five=five) == expected  # the second time from the table of heads
    piecemeal = Scanner(five=five, maximum_packet=2**20)
    items = [item for at in range(len(data)) for item in piecemeal.feed(data[at : at + 1])]
    assert rows_of(items, five=five) == expected
    for cut in range(0, len(data), 7):
        halves = Scanner(five=five, maximum_packet=2**20)
        assert rows_of(halves.feed(data[:cut]) + halves.feed(data[cut:]), five=five) == expected


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.booleans(), st.sampled_from([0x30, 0x31, 0x32, 0x34, 0x36, 0x40, 0x50, 0x62, 0x70]))
def test_nonsense_is_malformed_and_nothing_worse(body: bytes, five: bool, first: int) -> None:
    scanner = Scanner(five=five, maximum_packet=2**20)
    try:
        scanner.feed(bytes((first,)) + varint(len(body)) + body)
        scanner.feed(body)
    except Malformed:
        return


@settings(max_examples=60, deadline=None)
@given(ROWS, st.data())
def test_a_damaged_stream_is_malformed_and_nothing_worse(rows: list[Row], data: st.DataObject) -> None:
    stream = bytearray(packets(rows, five=True))
    for _ in range(3):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    try:
        Scanner(five=True, maximum_packet=2**20).feed(bytes(stream))
    except Malformed:
        return


def test_a_known_envelope_may_not_be_forged_across_its_length() -> None:
    """A topic that contains another's properties does not get that other's head."""
    one = mqtt5.PublishPacket("a", b"", user_properties=[("b", "c")]).write()
    envelope = one[2:]
    scanner = Scanner(five=True, maximum_packet=1000)
    scanner.feed(one)
    longer = (len(envelope) - 1).to_bytes(2, "big") + envelope[2:] + b"\0\0"
    forged = b"\x30" + varint(len(longer)) + longer
    with pytest.raises(Malformed):
        scanner.feed(forged)


def test_a_packet_larger_than_asked_for_is_refused_by_its_header() -> None:
    with pytest.raises(Malformed, match="more than the 1024"):
        Scanner(five=True, maximum_packet=1024).feed(b"\x30\xff\x7f")


def test_everything_is_kept_in_order() -> None:
    publish = mqtt5.PublishPacket("a", b"1").write()
    suback, puback, refused = b"\x90\x03\x00\x01\x00", b"\x40\x02\x04\x00", b"\x40\x03\x04\x01\x87"
    no_takers, pubrel, ping = b"\x40\x03\x04\x02\x10", b"\x62\x02\x00\x07", b"\xd0\x00"
    items = Scanner(five=True, maximum_packet=1000).feed(
        publish + suback + puback + puback + ping + refused + no_takers + pubrel
    )
    assert [type(item) for item in items] == [Run, Other, Acks, Reply, Acks, Reply]
    assert items[1] == Other(suback)
    assert items[2] == Acks([1024, 1024])
    assert items[3] == Reply(0x40, 1025, 0x87)
    assert items[5] == Reply(PUBREL, 7)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20), st.sampled_from([0, 1, 2]), st.booleans())
def test_frames_are_what_the_codec_reads(payloads: list[bytes], qos: int, mixed: bool) -> None:
    envelope = Envelope(b"\0\1a", b"\0", qos=qos, retain=True)
    envelopes = [envelope] * len(payloads) if mixed else envelope
    ids = range(FIRST_ID, FIRST_ID + len(payloads))
    data = b"".join(encode_acked(envelopes, payloads, ids) if qos else encode_0(envelopes, payloads))
    view, read = memoryview(data), []
    while view:
        packet, size = mqtt5.read(view)
        assert isinstance(packet, mqtt5.PublishPacket)
        assert size == envelope.packet_bytes(len(packet.payload))
        read.append((packet.topic, packet.payload, int(packet.qos), packet.retain, packet.packet_id))
        view = view[size:]
    assert read == [("a", payload, qos, True, at if qos else None) for at, payload in zip(ids, payloads, strict=True)]


def test_a_repeated_packet_says_so() -> None:
    packet = mqtt5.PublishPacket("a", b"1", qos=mqtt5.QoS(1), packet_id=1).write()
    repeated, _ = mqtt5.read(memoryview(again(packet)))
    assert isinstance(repeated, mqtt5.PublishPacket)
    assert repeated.duplicate


@pytest.mark.parametrize("sizes", [[0], [1, 2], [JOIN_BYTES], [3, JOIN_BYTES + 1, 5], [JOIN_BYTES - 1] * 4])
def test_pieces_are_joined_without_loss(sizes: list[int]) -> None:
    pieces = [bytes((at,)) * size for at, size in enumerate(sizes)]
    assert b"".join(joined(pieces)) == b"".join(pieces)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("000001700000000:00003:node", (1_700_000_000, 3, "node")),
        ("1:0:a:b", (1, 0, "a:b")),
        ("1:0", None),
        ("x:0:a", None),
        ("²:0:a", None),
        ("", None),
        ("9" * 5000 + ":0:a", None),
    ],
)
def test_timestamps(text: str, expected: tuple[int, int, str] | None) -> None:
    assert parse_stamp(text) == expected


def window_of(*counts: int) -> Window:
    window = Window()
    for count in counts:
        rows = Batch([Head("a")] * count, [b""] * count, range(count), [0.0] * count, range(count))
        window.add(None, rows, Envelope(b"", b"", qos=1, retain=False), 1)  # type: ignore[arg-type]
    return window


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_confirmations_in_any_order_and_repeated_settle_each_row_once(counts: list[int], random: object) -> None:
    window = window_of(*counts)
    ids = list(range(FIRST_ID, FIRST_ID + sum(counts)))
    shuffled = ids * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    chunks = list(window.chunks)
    settled = [
        (chunks.index(chunk), row)
        for at in range(0, len(shuffled), 3)
        for chunk, start, stop in window.confirm(shuffled[at : at + 3])
        for row in range(start, stop)
    ]
    assert sorted(settled) == [(number, row) for number, count in enumerate(counts) for row in range(count)]
    assert (window.count, list(window.chunks)) == (0, [])


def test_confirmations_in_order_settle_whole_chunks() -> None:
    window = window_of(3, 2)
    assert [(start, stop) for _, start, stop in window.confirm(range(FIRST_ID, FIRST_ID + 5))] == [(0, 3), (0, 2)]


def test_identifiers_under_way_are_not_given_out_again() -> None:
    window = window_of(10)
    for _ in range(200):
        free = window.ids_free(1000)
        if not free:
            break
        rows = Batch([Head("a")] * free, [b""] * free, range(free), [0.0] * free, range(free))
        chunk = window.add(None, rows, Envelope(b"", b"", qos=1, retain=False), 1)  # type: ignore[arg-type]
        window.confirm(chunk.ids())
    assert window.count == 10
    assert window.ids_free(1000) == 0


@pytest.mark.parametrize(
    "properties",
    [b"\x11\x00\x00\x00\x00", b"\x23\x00\x01\x23\x00\x01", b"\x08\x00", b"\xff\x00"],
    ids=["of another packet", "twice", "cut off", "unknown"],
)
@pytest.mark.parametrize("topic", [b"t", "é".encode()], ids=["plain", "beyond ASCII"])
def test_properties_that_do_not_belong_in_a_publish_are_malformed(topic: bytes, properties: bytes) -> None:
    envelope = len(topic).to_bytes(2, "big") + topic + bytes((len(properties),)) + properties

    with pytest.raises(Malformed):
        read_5(envelope, {}, retain=False)
