"""Snapshots: pictures from node to node."""

from pathlib import Path

import pytest
from component_guests import ECHO, READ, batch, component

from flowrt.message import Head, Tensor
from flowrt.wasm.component.pictures import Picture, as_tensors, picture_of
from flowrt.wasm.memory import LinearMemory

AIO = Path(__file__).parents[2] / "modules" / "aio"
SIDE = 224
PIXELS = bytes(range(256)) * (SIDE * SIDE * 3 // 256)
HEAD = Head("snapshot_simulation", properties=(("site", "north"),))


@pytest.fixture
def formatted(guest):
    """`formatted(payload)`: what `format` makes of a picture, and its words where it makes none."""

    def make(*payloads):
        return guest((AIO / "format" / "format.wasm").read_bytes(), deadline="60s").map(batch(*payloads, head=HEAD))

    return make


def test_pixels_become_a_picture_that_keeps_its_topic(formatted):
    output = formatted(PIXELS)
    (head,) = output.heads
    assert output.payloads == [PIXELS]
    assert (head.topic, head.properties) == (HEAD.topic, HEAD.properties)
    assert picture_of(head) == Picture("rgb24", SIDE, SIDE)
    assert head.tensors == (Tensor("snapshot/rgb24", "u8", (SIDE, SIDE, 3)),)


@pytest.mark.parametrize(("width", "height"), [(224, 224), (448, 448), (100, 50), (1, 1)])
def test_a_picture_of_any_size_is_scaled_and_its_colours_stay(formatted, width, height):
    ppm = b"P6\n# from a camera\n%d %d\n255\n" % (width, height) + bytes((250, 128, 3)) * (width * height)
    (payload,) = formatted(ppm).payloads
    assert payload == bytes((250, 128, 3)) * (SIDE * SIDE)


def test_scaling_keeps_places(formatted):
    """A picture half black, half white, twice as wide: the edge stays in the middle."""
    line = bytes(3) * 224 + b"\xff" * 3 * 224
    (payload,) = formatted(b"P6 448 224 255\n" + line * 224).payloads
    row = payload[: SIDE * 3 : 3]
    assert row[:109] == bytes(109)
    assert row[115:] == b"\xff" * 109
    assert list(row[109:115]) != sorted(row[109:115]) or row[111] < 128 < row[112]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\xff\xd8\xff\xe0", "the JPEG is damaged, or of a kind that cameras do not make"),
        (b"", "the picture is neither a JPEG, PNG or PPM nor 224 by 224 pixels of rgb24"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "the PNG is damaged, or has more than 8192 by 8192 pixels"),
        (b"P6 2 2 255\n123", "the PPM is cut off"),
        (b"P6 9000 1 255\n", "the PPM is larger than 8192 by 8192 pixels, or has not 8 bits a channel"),
        (b"P6 99999999999 1 255\n", "the PPM is larger than 8192 by 8192 pixels, or has not 8 bits a channel"),
        (b"P6 ", "the PPM is larger than 8192 by 8192 pixels, or has not 8 bits a channel"),
    ],
)
def test_what_is_no_picture_is_refused(formatted, payload, words):
    assert formatted(payload).errors == {0: words}


def test_a_picture_enters_a_component_as_a_snapshot(guest):
    """The second byte of the model says which form it has, and the picture's extents stand where they have to."""
    body = """(if (i32.ne (i32.load8_u (local.get $model)) (i32.const 2)) (then (unreachable)))
      (if (i32.ne (i32.load offset=60 (local.get $model)) (i32.const 3)) (then (unreachable)))
      (if (i32.ne (i32.load offset=64 (local.get $model)) (i32.const 2)) (then (unreachable)))"""
    for frame in (b"abcdef", bytes(1000)):
        head = HEAD.with_(tensors=as_tensors(Picture("gray8", 3, 2), len(frame)))
        output = guest(component({"map": f"{body} {ECHO}"})).map(batch(frame, head=head))
        assert (output.payloads, output.heads) == ([frame], None)


def test_a_message_made_of_a_picture_is_none(guest):
    head = HEAD.with_(tensors=as_tensors(Picture("gray8", 3, 2), 6))
    body = f"""(i32.store8 (local.get $model) (i32.const 0))
      (i32.store8 offset=8 (local.get $model) (i32.const 1))
      (i32.store offset=12 (local.get $model) (i32.const 0))
      (i32.store offset=16 (local.get $model) (i32.const 4)) {ECHO}"""
    output = guest(component({"map": body})).map(batch(b"abcdef", head=head))
    assert output.payloads == [bytes(4)]
    assert picture_of(output.heads[0]) is None


def test_a_format_that_is_not_plain_pixels_has_no_channels():
    assert as_tensors(Picture("jpeg", 640, 480), 12345)[0].shape == (480, 640, 0)
    assert as_tensors(Picture("rgb24", 640, 480), 12345)[0].shape == (480, 640, 0)
    assert picture_of(Head("t", tensors=(Tensor("x", "u8", (1, 2, 3)),))) is None


def test_a_payload_is_read_when_the_guest_reads_it_and_never_otherwise(guest, monkeypatch):
    """Of a hundred messages of 64 KiB, none crosses for a guest that gives them back, all for one that reads."""
    read, written = [], LinearMemory.write
    monkeypatch.setattr(LinearMemory, "write", lambda self, at, data: read.append(len(data)) or written(self, at, data))
    payloads = [bytes(1 << 16)] * 100
    assert guest(component({"map": ECHO}), deadline="60s").map(batch(*payloads)).payloads == payloads
    assert read == []
    assert guest(component({"map": READ}), deadline="60s").map(batch(*payloads)).payloads == payloads
    assert read == [1 << 16] * 100
