"""`__ts`, the hybrid logical clock of a message: as it leaves, and where it is not believed."""

from flowrt.counters import NodeCounters
from flowrt.logicaltime.stamps import format_stamp, logical, own_stamp, parse_stamp
from flowrt.message import Batch, Head
from flowrt.runtime.ends import SinkOperator
from flowrt.testing import ListSink

TIME = logical(1_700_000_000_123, 7)
GIVEN = "001700000000999:00002:press-4"
WITH = Head("a", properties=(("unit", "bar"), ("__ts", GIVEN)), timestamp=parse_stamp(GIVEN))
BROKEN = Head("a", properties=(("__ts", "yesterday"),))


def left(stamps, *heads):
    """The user properties with which messages leave."""
    sink = ListSink()
    batch = Batch(list(heads), [b""] * len(heads), [TIME] * len(heads), [0.0] * len(heads), range(len(heads)))
    SinkOperator(sink, NodeCounters(), stamps=stamps).process(batch)
    return [dict(message.head.properties) for message in sink.messages]


def test_a_clock_leaves_as_it_came():
    for stamps in (False, True):
        assert left(stamps, WITH) == [{"unit": "bar", "__ts": GIVEN}]


def test_a_message_without_a_clock_is_given_the_time_at_which_it_counts():
    assert left(False, Head("a")) == [{}]
    assert left(True, Head("a"), BROKEN) == [{"__ts": "001700000000123:00007:flowrt"}] * 2


def test_a_clock_is_the_same_again_after_it_was_written():
    assert parse_stamp(format_stamp(own_stamp(TIME))) == own_stamp(TIME)
