"""A context whose engine makes text: piece by piece, and aloud. Engines that really do are in test_nn_ggml.py."""

from __future__ import annotations

import pytest

from flowrt.nn.backend import Slot
from flowrt.nn.doors.execution import Budget, Execution
from flowrt.nn.faults import ModelFault


class Speaker:
    """A session that gives a text piece by piece, as engines for language models do."""

    label, device = "speaker", "here"
    inputs = (Slot("prompt", "u8", ("size",), form="text"), Slot("options", "u8", ("n",), optional=True, form="text"))
    outputs = (Slot("text", "u8", ("size",), form="text"),)

    def __init__(self) -> None:
        self.open = 0

    def stream(self, arrays):
        self.open += 1
        self.left = [arrays[0].tobytes()[at : at + 4] for at in range(0, arrays[0].size, 4)]
        return self

    def next(self):
        return self.left.pop(0) if self.left else None

    def about(self):
        return b'{"output_tokens":%d}' % len(self.left)

    def close(self):
        self.open -= 1


def test_a_text_comes_piece_by_piece() -> None:
    speaker = Speaker()
    execution = Execution(speaker, Budget(1 << 20))
    with pytest.raises(ModelFault, match="not set: prompt"):
        execution.compute_single()
    execution.set_input(0, "u8", (1,), memoryview(b"Hello world"))  # ggml guests give [1], whatever the length
    pieces = []
    for _ in range(3):
        execution.compute_single()
        pieces.append(execution.output_single(0))
    assert (pieces, execution.output_single(1)) == ([b"Hell", b"o wo", b"rld"], b'{"output_tokens":0}')
    with pytest.raises(ModelFault) as ended:
        execution.compute_single()
    assert ended.value.code == "end-of-sequence"
    execution.fini_single()
    assert speaker.open == 0
    execution.compute_single()
    assert (execution.output_single(0), speaker.open) == (b"Hell", 1)
    execution.set_input(0, "u8", (1,), memoryview(b"Another"))
    assert speaker.open == 0
    execution.compute_single()
    execution.close()
    assert speaker.open == 0


def test_a_text_is_said_while_it_is_made() -> None:
    said: list[bytes] = []
    execution = Execution(Speaker(), Budget(1 << 20), {"stream-stdout": True}, said.append)
    execution.set_input(0, "u8", (1,), memoryview(b"Hello world"))
    execution.compute()
    assert (said, bytes(execution.output(0))) == ([b"Hell", b"o wo", b"rld"], b"Hello world")
    execution.close()
