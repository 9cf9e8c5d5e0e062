"""A `snapshot` as it travels from node to node: a message whose payload is one tensor, named `snapshot/FORMAT`.

Its shape is height, width and channels, so that an inference node takes it as it is; 0 channels where the format is not
plain pixels. The message keeps the topic and the properties of the one it was made of.
"""

from __future__ import annotations

from typing import NamedTuple

from flowrt.message import Head, Tensor

_PREFIX = "snapshot/"
_CHANNELS = {"rgb24": 3, "bgr24": 3, "rgba": 4, "gray8": 1}


class Picture(NamedTuple):
    """What a snapshot says of its frame."""

    format: str
    width: int
    height: int


def picture_of(head: Head) -> Picture | None:
    """What the payload is a picture of, or None where it is none."""
    if len(head.tensors) != 1 or not head.tensors[0].name.startswith(_PREFIX) or len(head.tensors[0].shape) < 2:
        return None
    height, width, *_ = head.tensors[0].shape
    return Picture(head.tensors[0].name.removeprefix(_PREFIX), width, height)


def as_tensors(picture: Picture, size: int) -> tuple[Tensor, ...]:
    """How a head says that its payload of `size` bytes is this picture."""
    channels = _CHANNELS.get(picture.format, 0)
    if picture.width * picture.height * channels != size:
        channels = 0
    return (Tensor(_PREFIX + picture.format, "u8", (picture.height, picture.width, channels)),)
