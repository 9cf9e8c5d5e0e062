"""`modules/aio/format`: pictures as cameras store them. Damaged ones, and such as lie about their size, fail alone."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from component_guests import batch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flowrt.message import Head

CODE = (Path(__file__).parents[2] / "modules" / "aio" / "format" / "format.wasm").read_bytes()
HEAD = Head("snapshot_simulation")
SIDE = 224
CAMERA_SIZES = [(SIDE, SIDE), (640, 480), (100, 37)]


def picture(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 17 + y / 29), np.cos(x / 23), np.sin(y / 13 + 1)]
    return Image.fromarray((128 + 110 * np.stack(waves, axis=-1)).astype("u1"))


def stored(image: Image.Image, kind: str, **options) -> bytes:
    made = io.BytesIO()
    image.save(made, kind, **options)
    return made.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int, kind: int, lines: bytes, *, interlaced=False, others=b"", level=6
) -> bytes:
    """A PNG of lines that have their filter in front."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    pixels = chunk(b"IDAT", zlib.compress(lines, level))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + others + pixels + chunk(b"IEND", b"")


@pytest.fixture
def formatted(guest):
    """`formatted(payload)`: the 224 by 224 pixels that are made of it."""
    instance = guest(CODE, deadline="60s")

    def make(payload: bytes) -> np.ndarray:
        made = instance.map(batch(payload, head=HEAD))
        assert not made.errors, made.errors
        return np.frombuffer(made.payloads[0], "u1").reshape(SIDE, SIDE, 3)

    return make


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_png_of_any_kind_gives_the_pixels_it_holds(formatted, mode, level):
    image = picture(SIDE, SIDE)
    image = (
        image.convert("L").convert("I").point(lambda grey: grey * 257).convert(mode)
        if mode == "I;16"
        else image.convert(mode)
    )
    data = stored(image, "PNG", compress_level=level)
    wanted = (np.asarray(image) >> 8).astype("u1")[..., None].repeat(3, 2) if mode == "I;16" else image.convert("RGB")
    np.testing.assert_array_equal(formatted(data), np.asarray(wanted))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_small_depths_grey_and_with_a_palette(formatted, depth):
    values = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % (1 << depth)
    packed = sum(values[:, at :: 8 // depth] << (8 - depth * (at + 1)) for at in range(8 // depth)).astype("u1")
    lines = b"".join(b"\0" + line.tobytes() for line in packed)
    np.testing.assert_array_equal(
        formatted(png(SIDE, SIDE, depth, 0, lines))[..., 0], values * 255 // ((1 << depth) - 1)
    )
    colours = np.random.RandomState(1).randint(0, 256, (1 << depth, 3)).astype("u1")
    palette = chunk(b"PLTE", colours.tobytes())
    np.testing.assert_array_equal(formatted(png(SIDE, SIDE, depth, 3, lines, others=palette)), colours[values])


def test_an_interlaced_png(formatted):
    pixels = np.asarray(picture(SIDE, SIDE))
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    lines = b"".join(b"\0" + line.tobytes() for x, y, across, down in passes for line in pixels[y::down, x::across])
    np.testing.assert_array_equal(formatted(png(SIDE, SIDE, 8, 2, lines, interlaced=True)), pixels)


@pytest.mark.parametrize(("width", "height"), CAMERA_SIZES)
def test_scaling_is_lanczos_as_pillow_does_it(formatted, width, height):
    image = picture(width, height)
    wanted = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(formatted(stored(image, "PNG")) - wanted).max() <= 2


@pytest.mark.parametrize(("width", "height"), CAMERA_SIZES)
def test_a_jpeg_is_decoded_and_scaled(formatted, width, height):
    """Pillow smoothes colours that were sampled down."""
    data = stored(picture(width, height), "JPEG", quality=92)
    wanted = np.asarray(Image.open(io.BytesIO(data)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(formatted(data) - wanted).mean() < 2.5


def test_a_picture_that_is_one_already_may_come_again(guest):
    once = guest(CODE, deadline="60s").map(batch(stored(picture(64, 64), "PNG"), head=HEAD))
    again = guest(CODE, deadline="60s").map(batch(once.payloads[0], head=once.heads[0]))
    assert (again.payloads, again.errors) == (once.payloads, {})


LIES = [
    (png(8192, 8192, 8, 6, bytes(100)), "the PNG is damaged, or has more than 8192 by 8192 pixels"),
    (
        png(8192, 8192, 8, 6, bytes(8192 * (1 + 4 * 8192)), level=9),
        "the picture needs more than the operation's memory",
    ),
    (stored(picture(16, 16), "JPEG").replace(struct.pack(">HH", 16, 16), b"\x1f\xff\x1f\xff"), "the JPEG is damaged"),
]


@pytest.mark.parametrize(("payload", "words"), LIES, ids=["small file", "bomb", "jpeg"])
def test_a_size_that_lies_costs_the_message_and_not_the_instance(guest, payload, words):
    good = stored(picture(SIDE, SIDE), "PNG")
    made = guest(CODE, deadline="60s").map(batch(good, payload, good, head=HEAD))
    assert list(made.rows) == [0, 2]
    assert words in made.errors[1]


SOUND = [
    stored(picture(24, 16), "PNG"),
    stored(picture(24, 16).convert("P"), "PNG"),
    stored(picture(24, 16), "PNG", compress_level=0),
]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_png_never_traps(instance, data):
    """Chunks' checksums are not looked at, so that what is inside is reached by damage as well."""
    hurt = bytearray(data.draw(st.sampled_from(SOUND)))
    for _ in range(data.draw(st.integers(1, 8))):
        hurt[data.draw(st.integers(8, len(hurt) - 1))] = data.draw(st.integers(0, 255))
    instance.map(batch(bytes(hurt[: data.draw(st.integers(9, len(hurt)))]), head=HEAD))


@pytest.fixture(scope="module")
def instance(engine):
    from component_guests import Maker

    maker = Maker(engine)
    yield maker(CODE, deadline="60s")
    maker.close()
