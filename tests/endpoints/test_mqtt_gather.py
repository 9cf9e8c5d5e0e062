"""When a connection is read: under load rarely, and never later than it pays."""

from dataclasses import dataclass, field

from flowrt.endpoints.mqtt.gather import BUSY_MESSAGES, BUSY_MOST, BUSY_PAUSE, ENOUGH_BYTES, PAUSE, gather


@dataclass
class Socket:
    """Something to read, on virtual time: `arrives` bytes come with each look at it."""

    last_read_messages: int
    arrives: list[int] = field(default_factory=list)
    last_read_bytes: int = 100
    last_received: float = 0.0
    now: float = 0.0
    there: int = 0

    def incoming(self) -> int:
        self.there += self.arrives.pop(0) if self.arrives else 0
        return self.there

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def waits(self) -> float:
        began = self.now
        gather(self, lambda: self.now, self.sleep)
        return round(self.now - began, 6)


def test_after_a_quiet_while_nothing_is_waited_for() -> None:
    """A message that comes alone is read at once, however much came before it."""
    assert Socket(1, now=1.0).waits() == 0
    assert Socket(BUSY_MESSAGES, [100] * 99, now=1.0).waits() == 0


def test_few_messages_wait_for_a_moment() -> None:
    assert Socket(1).waits() == PAUSE


def test_a_busy_connection_is_read_a_few_hundred_times_a_second() -> None:
    """As long as bytes keep coming."""
    assert Socket(BUSY_MESSAGES, [100] * 99).waits() == BUSY_MOST


def test_who_sends_no_more_is_not_waited_for() -> None:
    """A broker with 20 messages under way waits for acknowledgements, and gets them after one look."""
    assert Socket(20, [2000, 0]).waits() == BUSY_PAUSE


def test_what_is_worth_a_read_is_read() -> None:
    assert Socket(500, [ENOUGH_BYTES]).waits() == 0
    assert Socket(500, [20_000, 20_000]).waits() == BUSY_PAUSE
    assert Socket(500, last_read_bytes=ENOUGH_BYTES).waits() == 0
