"""`flowrt top` shows what /metrics says, against the quotas, whoever is at the other end."""

import pytest
from views import pump

from flowrt.cli import top
from flowrt.errors import StartError
from flowrt.metrics import Metrics, parsed
from flowrt.web.address import parse_address
from flowrt.web.pages import pages
from flowrt.web.server import WebServer


def samples(graph):
    return parsed(Metrics(lambda: [graph]).exposition()[0].decode())


def test_a_row_is_what_happened_between_two_looks():
    graph = pump()
    before = samples(graph)
    features = graph.nodes[1].counters
    features.received += 200
    features.emitted += 100
    features.cpu_seconds += 0.5
    features.throttled_seconds += 0.2
    features.processing.observe(0.004, 10)

    row = top.rows(before, samples(graph), 2.0)[1]

    assert (row.graph, row.node, row.received, row.emitted) == ("pump", "features", 100, 50)
    assert (row.cpu, row.cpu_limit, row.waits) == (0.25, 0.25, pytest.approx(0.1))
    assert (row.batch, row.queue, row.faults, row.drops) == (pytest.approx(0.004), 2, 1, 1)
    assert (row.memory, row.memory_limit) == (131072, 64 * 2**20)


def test_the_table_has_a_line_a_node_and_escapes_names():
    graph = pump()
    found = top.rows(samples(graph), samples(graph), 1.0)
    lines = top.table([*found, top.rows(samples(graph), samples(graph), 1.0)[0]])
    assert [line.split()[0] for line in lines[1:]] == ["pump/sensors", "pump/features", "pump/alerts", "pump/sensors"]
    assert "250m" in lines[2]
    assert "64Mi" in lines[2]

    from flowrt.values import replace

    assert "\x1b" not in top.table([replace(found[0], node="\x1b[2J")])[1]


def test_it_reads_a_runtime_by_its_address(capsys):
    server = WebServer(parse_address("127.0.0.1:0"), pages(lambda: [pump()]))
    server.start()
    try:
        options = top.argparse.Namespace(address=str(server.address), interval=0.1, once=True)
        assert top.run(options) == 0
    finally:
        server.stop()
    assert "pump/features" in capsys.readouterr().out


def test_where_nobody_answers_it_says_so():
    options = top.argparse.Namespace(address="127.0.0.1:1", interval=0.1, once=True)
    with pytest.raises(StartError, match="is a runtime there, with --metrics"):
        top.run(options)
