"""What messages become: rows that are left out, rows that become several, in columns."""

from hypothesis import given
from hypothesis import strategies as st

from flowrt.operators.base import GuestOutput
from flowrt.operators.map import MapOperator
from flowrt.testing import batch_of


class Dealing:
    """A guest that makes of each message as many as it was told, unless it fails it."""

    def __init__(self, counts, failed=()):
        self._counts, self._failed = counts, failed

    def map(self, batch):
        kept = [row for row in range(len(batch)) if row not in self._failed]
        rows = [row for row in kept for _ in range(self._counts[row])]
        return GuestOutput(rows, [batch.payloads[row] for row in rows], None, dict.fromkeys(self._failed, "no"))

    def save(self):
        return None

    def memory_bytes(self):
        return 0

    def close(self):
        pass


def batch(count):
    made = batch_of([b"%d" % row for row in range(count)], topics=[f"t/{row}" for row in range(count)])
    made.times = [1000 + row for row in range(count)]
    made.born = [0.5 + row for row in range(count)]
    return made


def columns(one):
    return list(zip(one.heads, one.payloads, one.times, one.born, one.seqs, strict=True))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.sets(st.integers(0, 5)))
def test_each_output_has_what_its_message_had(counts, failed):
    given_batch = batch(len(counts))
    failed = {row for row in failed if row < len(counts)}
    of = columns(given_batch)

    emission = MapOperator(lambda: Dealing(counts, failed)).process(given_batch)

    made = [of[row] for row, count in enumerate(counts) for _ in range(count) if row not in failed]
    (out,) = emission.ports
    assert ([] if out is None else columns(out)) == made
    assert sorted(emission.filtered) == [row for row, count in enumerate(counts) if not count and row not in failed]
    assert sorted(emission.forked) == sorted(
        row for row, count in enumerate(counts) for _ in range(count - 1) if row not in failed
    )
    assert [fault.rows.seqs[0] for fault in emission.faults] == sorted(failed)
