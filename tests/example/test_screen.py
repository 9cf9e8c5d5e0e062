"""What the demo writes."""

import io

import pytest

from flowrt.demo import figures
from flowrt.demo.client import Verdict
from flowrt.demo.screen import Screen, clock
from flowrt.demo.show import Watch
from flowrt.demo.simulator import readings


def verdict(score: float, *, alert: bool = False) -> Verdict:
    return Verdict("plant/skid/anomaly", None, score, alert, "flow")


def shown(*, colour: bool) -> str:
    out = io.StringIO()
    screen = Screen(out, 3.5, colour=colour)
    (reading,) = readings(1, 1)
    screen.heading()
    screen.line(19, reading, None)
    screen.line(39, reading, verdict(0.42))
    screen.event(60, "the valve closes", alarm=False)
    screen.line(79, reading, verdict(12, alert=True))
    return out.getvalue()


def test_a_pipe_gets_plain_lines():
    lines = shown(colour=False).splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[2].endswith("the window of 16 readings fills")
    assert lines[3].split()[0] == "0:39"
    assert lines[3].endswith("normal")
    assert "1:00 ── the valve closes ──" in lines[4]
    assert lines[5].endswith("ALERT flow")


def test_a_terminal_gets_the_same_in_colours():
    assert "\x1b[31m" in shown(colour=True)


def test_the_threshold_is_marked_until_the_bar_covers_it():
    lines = shown(colour=False).splitlines()
    heading, quiet, loud = lines[1], lines[3], lines[5]
    assert heading.index("│") == quiet.index("│")
    assert "│" not in loud
    assert loud.index("█") == quiet.index("█") < quiet.index("│") < loud.rindex("█")


@pytest.mark.parametrize(("second", "text"), [(0, "0:00"), (61, "1:01"), (3599, "59:59"), (6000, "100:00")])
def test_the_pumps_clock(second: int, text: str):
    assert clock(second) == text


def test_a_watch_dates_an_alert_by_the_reading_it_belongs_to():
    watch = Watch(fault_at=17, published=20)
    began = [watch.take(verdict(5, alert=alert)) for alert in (False, False, False, True, True)]
    assert began == [None, None, None, 18, None]
    assert watch.alerts == [18]
    assert watch.missing == 0
    assert watch.good


@pytest.mark.parametrize(
    ("alerts", "published"),
    [((False, False), 17), ((True, True), 17), ((False, True), 18)],
    ids=["no alert", "an alert before the fault", "a verdict missing"],
)
def test_a_watch_is_not_good_with(alerts: tuple[bool, ...], published: int):
    watch = Watch(fault_at=16, published=published)
    for alert in alerts:
        watch.take(verdict(5, alert=alert))
    assert not watch.good


METRICS = """# HELP flowrt_node_received_messages_total …
flowrt_node_received_messages_total{graph="g",node="features"} 400.0
flowrt_node_emitted_messages_total{graph="g",node="features"} 385.0
flowrt_node_faulted_messages_total{graph="g",kind="abi",node="features"} 1.0
flowrt_node_faulted_messages_total{graph="g",kind="trap",node="features"} 2.0
flowrt_node_cpu_seconds_total{graph="g",node="features"} 0.008
flowrt_node_memory_bytes{graph="g",node="features"} 262144.0
flowrt_sink_latency_seconds_bucket{graph="g",node="features",le="1.0"} 2.0
flowrt_sink_latency_seconds_sum{graph="g",node="features"} 0.004
flowrt_sink_latency_seconds_count{graph="g",node="features"} 2.0
flowrt_graph_ready{graph="g"} 1.0
"""


def test_the_table_of_nodes_is_read_from_the_metrics():
    _, line = figures.lines(figures.samples(METRICS))
    assert line.split() == ["features", "400", "385", "3", "20", "262", "2.0", "ms"]
    assert figures.lines({}) == []
    assert figures.table("127.0.0.1:1") == []
