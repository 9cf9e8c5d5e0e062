"""Calls that repeat take a shorter way through the core door: they are answered as the first were, and what differs in
the least is still looked at."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nn_guest import OUT, SIZE, Guest
from nn_models import BOOL, double, model, node, use

from flowrt.nn.doors.node import NodeDoor
from flowrt.nn.registry import Models

OK, INVALID_ARGUMENT, TOO_LARGE = 0, 1, 7
DIMS, HEAD, DATA, ANSWER = 256, 288, 512, 1024


def head(dims: int = DIMS, rank: int = 2, tag: int = 1, data: int = DATA, size: int = 12) -> bytes:
    return struct.pack("<IIIII", dims, rank, tag, data, size)


class Repeating(Guest):
    """Has one context and one tensor, always in the same place, and has run it five times."""

    def __init__(self, door: NodeDoor) -> None:
        super().__init__(door.core())
        self.context_ = self.context()
        self.memory.write(DIMS, struct.pack("<II", 1, 3))
        for turn in range(5):
            assert self.turn(turn) == [OK, OK, OK]
            assert self.answer() == [2 * turn] * 3

    def turn(
        self, value: float, tensor: bytes = b"", answer: int = ANSWER, room: int = 12, out: int = OUT
    ) -> list[int]:
        self.memory.write(HEAD, tensor or head())
        self.memory.write(DATA, np.full(3, value, "<f4").tobytes())
        return [
            self.call("set_input", self.context_, 0, HEAD),
            self.call("compute", self.context_),
            self.call("get_output", self.context_, 0, answer, room, out),
        ]

    def answer(self) -> list[float]:
        assert self.result() == 12
        return np.frombuffer(self.memory.read(ANSWER, 12), "<f4").tolist()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[NodeDoor]:
    models = Models()
    door = NodeDoor(models, [use(tmp_path, double(dims=(1, 3)))], memory=1 << 20, report=lambda _: None)
    yield door
    door.close()
    models.close()


@pytest.mark.parametrize(
    ("turn", "errnos"),
    [
        ({"tensor": head(data=SIZE - 8)}, [INVALID_ARGUMENT, OK, OK]),
        ({"tensor": head(data=0xFFFF_FFFC)}, [INVALID_ARGUMENT, OK, OK]),
        ({"tensor": head(dims=SIZE)}, [INVALID_ARGUMENT, OK, OK]),
        ({"tensor": head(rank=1)}, [INVALID_ARGUMENT, OK, OK]),
        ({"tensor": head(rank=33)}, [INVALID_ARGUMENT, OK, OK]),
        ({"tensor": head(tag=4)}, [INVALID_ARGUMENT, OK, OK]),
        ({"tensor": head(size=8)}, [INVALID_ARGUMENT, OK, OK]),
        ({"answer": SIZE - 8}, [OK, OK, INVALID_ARGUMENT]),
        ({"out": SIZE - 3}, [OK, OK, INVALID_ARGUMENT]),
        ({"room": 11}, [OK, OK, TOO_LARGE]),
    ],
)
def test_a_call_that_differs_is_refused_and_the_next_goes_on(
    door: NodeDoor, turn: dict[str, int], errnos: list[int]
) -> None:
    guest = Repeating(door)
    assert guest.turn(7, **turn) == errnos  # type: ignore[arg-type]
    assert guest.turn(8) == [OK, OK, OK]
    assert guest.answer() == [16, 16, 16]


def test_the_dimensions_are_read_each_time(door: NodeDoor) -> None:
    guest = Repeating(door)
    guest.memory.write(DIMS, struct.pack("<II", 3, 1))
    assert guest.turn(7) == [INVALID_ARGUMENT, OK, OK]
    assert guest.answer() == [8, 8, 8]


def test_memory_that_grew_since_is_seen(door: NodeDoor) -> None:
    guest = Repeating(door)
    guest.bytes = guest.bytes + bytearray(64)
    guest.memory.write(SIZE, np.full(3, 21, "<f4").tobytes())
    assert guest.turn(0, head(data=SIZE)) == [OK, OK, OK]
    assert guest.answer() == [42, 42, 42]


def test_a_freed_context_stays_freed(door: NodeDoor) -> None:
    guest = Repeating(door)
    assert guest.call("finalize_execution_context", guest.context_) == OK
    assert guest.turn(7) == [INVALID_ARGUMENT] * 3


def test_truth_values_are_made_true_each_time(tmp_path: Path) -> None:
    models = Models()
    invert = model([node("Not", "x", "y")], [("x", BOOL, [3])], [("y", BOOL, [3])])
    door = NodeDoor(models, [use(tmp_path, invert)], memory=1 << 20, report=lambda _: None)
    guest = Guest(door.core())
    context = guest.context()
    for _ in range(5):
        assert guest.set_input(context, np.array([0, 1, 200], "u1"), 3) == OK
        assert guest.call("compute", context) == OK
        assert guest.output(context) == bytes([1, 0, 0])
    door.close()
    models.close()
