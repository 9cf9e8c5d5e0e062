"""camera-frame: pictures as planes, whatever they come as; damaged ones fail alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from guest_bench import Bench, make_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flowrt.message import Head

RANDOM = np.random.RandomState(5)


def picture(width: int, height: int) -> np.ndarray:
    """Smooth colours, as cameras see them: u8[height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 17 + y / 29), np.cos(x / 23), np.sin(y / 13 + 1)]
    return np.clip(128 + 110 * np.stack(waves, axis=-1) + RANDOM.normal(0, 2, (height, width, 3)), 0, 255).astype("u1")


def jpeg(image: np.ndarray, **options: object) -> bytes:
    made = io.BytesIO()
    Image.fromarray(image).save(made, "JPEG", **{"quality": 92, **options})
    return made.getvalue()


def planes(image: np.ndarray) -> np.ndarray:
    return image.transpose(2, 0, 1).astype("f4") / np.float32(127.5) - 1


def frame(bench: Bench, payload: bytes, head: Head | None = None, size: int = 64, memory: int = 2**26) -> np.ndarray:
    guest = bench.guest("camera-frame", size=str(size), memory=memory)
    made = guest.map(make_batch([payload], head or Head("a")))
    assert not made.errors, made.errors
    return np.frombuffer(made.payloads[0], "f4").reshape(3, size, size)


@pytest.mark.parametrize("size", [8, 17, 64, 224])
def test_raw_pixels_become_planes(bench: Bench, size: int) -> None:
    image = picture(size, size)
    np.testing.assert_allclose(frame(bench, image.tobytes(), size=size), planes(image), atol=1e-6)


def test_another_size_is_scaled(bench: Bench) -> None:
    head = Head("a", properties=(("width", "128"), ("height", "64")))
    flat = np.full((64, 128, 3), (10, 100, 200), "u1")
    np.testing.assert_allclose(frame(bench, flat.tobytes(), head), planes(flat)[:, :64, :64], atol=1e-6)
    image = picture(128, 64)
    halved = image.reshape(64, 64, 2, 3).mean(axis=2)
    np.testing.assert_allclose(frame(bench, image.tobytes(), head), planes(halved), atol=1e-5)


@pytest.mark.parametrize("sampling", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"quality": 40}, {"optimize": True}, {"restart_marker_blocks": 3}])
def test_a_jpeg_is_decoded_as_pillow_does(bench: Bench, sampling: int, options: dict[str, object]) -> None:
    """Colours at edges differ where the colours were sampled down: Pillow smoothes them."""
    data = jpeg(picture(64, 64), subsampling=sampling, **options)
    wanted = np.asarray(Image.open(io.BytesIO(data)))
    found = (frame(bench, data) + 1) * 127.5
    off = np.abs(found - wanted.transpose(2, 0, 1))
    assert off.mean() < (1 if sampling == 0 else 2.5)
    assert off.max() < (4 if sampling == 0 else 40)


def test_a_grey_jpeg_and_one_of_odd_size(bench: Bench) -> None:
    grey = jpeg(picture(64, 64)[..., 0])
    wanted = np.asarray(Image.open(io.BytesIO(grey)), "f4")
    np.testing.assert_allclose((frame(bench, grey) + 1) * 127.5, np.stack([wanted] * 3), atol=2)
    odd = jpeg(picture(131, 77))
    assert frame(bench, odd).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "neither a JPEG nor raw RGB"),
        (b"x" * 100, "neither a JPEG nor raw RGB"),
        (b"\xff\xd8\xff", "the JPEG is damaged"),
        (jpeg(picture(64, 64))[:-200], None),
        (jpeg(picture(64, 64), progressive=True), "a progressive JPEG; the camera must send baseline ones"),
    ],
)
def test_what_is_no_picture_fails_alone(bench: Bench, payload: bytes, words: str | None) -> None:
    guest = bench.guest("camera-frame")
    good = picture(64, 64).tobytes()
    made = guest.map(make_batch([good, payload, good]))
    assert list(made.rows) == ([0, 2] if words else list(made.rows))
    if words:
        assert words in made.errors[1]


def test_sizes_that_lie_do_not_take_the_memory(bench: Bench) -> None:
    data = bytearray(jpeg(picture(64, 64)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\x1f\xff\x1f\xff"
    made = bench.guest("camera-frame", memory=2**24).map(make_batch([bytes(data)]))
    assert "damaged" in made.errors[0]


SMALL = jpeg(picture(32, 32), subsampling=2, restart_marker_blocks=2)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_jpeg_never_traps(hurt: Bench, data: st.DataObject) -> None:
    frame = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 12))):
        frame[data.draw(st.integers(2, len(frame) - 1))] = data.draw(st.integers(0, 255))
    hurt.camera.map(make_batch([bytes(frame[: data.draw(st.integers(2, len(frame)))])]))


@pytest.fixture(scope="module")
def hurt(engine):
    made = Bench(engine)
    made.camera = made.guest("camera-frame", size="32")
    yield made
    made.close()
