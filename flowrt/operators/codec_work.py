"""What runs `decode` and `encode`: a codec on every message of a batch, of which each may become several or none."""

from __future__ import annotations

from collections.abc import Callable

from flowrt.errors import NodeFault
from flowrt.formats.base import Made
from flowrt.message import Batch, Head
from flowrt.operators.base import Emission, Fault
from flowrt.operators.transform_work import RulesOperator


class _Port:
    """Messages that leave one way, and the rows that they come of."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.payloads: list[bytes] = []
        self.heads: list[Head] = []

    def add(self, row: int, made: Made) -> None:
        for payload, head in made:
            self.rows.append(row)
            self.payloads.append(payload)
            self.heads.append(head)

    def batch(self, of: Batch) -> Batch | None:
        if not self.rows:
            return None
        whole = self.rows == list(range(len(of)))
        return (of if whole else of.take(self.rows)).with_payloads(self.payloads, self.heads)


class CodecOperator(RulesOperator):
    """Makes at most `outputs` messages of one. What the codec asks of the other side leaves by a second port."""

    def __init__(self, work: Callable[[bytes, Head], Made], outputs: int, requests: Callable[[], Made]) -> None:
        self._work = work
        self._outputs = outputs
        self._requests = requests

    def process(self, batch: Batch) -> Emission:
        out, asked, seqs = _Port(), _Port(), batch.seqs
        filtered: list[int] = []
        forked: list[int] = []
        faults: list[Fault] = []
        for row, (payload, head) in enumerate(zip(batch.payloads, batch.heads, strict=True)):
            ends = 1
            try:
                made = self._bounded(self._work(payload, head))
            except NodeFault as fault:
                faults.append(Fault(batch.slice(row, row + 1), fault))
            else:
                out.add(row, made)
                ends = len(made)
                if not made:
                    filtered.append(seqs[row])
                    ends = 1
            if requests := self._requests():
                asked.add(row, requests)
                ends += len(requests)
            if ends > 1:
                forked += [seqs[row]] * (ends - 1)
        return Emission((out.batch(batch), asked.batch(batch)), filtered, faults, forked)

    def _bounded(self, made: Made) -> Made:
        if len(made) > self._outputs:
            words = f"the payload holds {len(made)} messages, and resources.outputs allows {self._outputs}"
            raise NodeFault("outputs", words)
        return made
