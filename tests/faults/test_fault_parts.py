"""The parts of the fault bench count right, break what they say they break, and leave nothing behind."""

import contextlib
import json
import socket
import threading

import pytest

from benchmarks.faults import report
from benchmarks.faults.ledger import Ledger, Result
from benchmarks.faults.proxy import SERVER_UNAVAILABLE, Proxy


def test_the_ledger_tells_lost_doubled_and_disordered_apart():
    ledger = Ledger()
    for place in range(5):
        ledger.sent((0, place))
        ledger.delivered((0, place))
    for place in (0, 2, 1, 2, 0):  # 1 comes late; 2 and 0 come twice; 3 and 4 never
        ledger.came((0, place))
    ledger.came((9, 9))
    assert ledger.missing() == {(0, 3), (0, 4)}
    assert ledger.missing({(0, 3)}) == {(0, 4)}
    assert (ledger.duplicated, ledger.reordered, ledger.foreign) == (2, 2, 1)
    ledger.delivered((0, 1))  # the broker itself gave 1 once more behind 2
    ledger.delivered((9, 9))
    assert ledger.reordered == 0
    assert ledger.redelivered == 1


def row(**changes):
    counts = {"sent": 10, "received": 10, "dead": 0, "lost": 0, "duplicated": 1, "reordered": 0, "bound": 2}
    return Result("kill", "kill -9", "flowrt", 1, **{**counts, **changes}, recovered=0.5)


@pytest.mark.parametrize("broken", [{"lost": 1}, {"reordered": 1}, {"duplicated": 3}, {"notes": ("x",)}])
def test_a_row_that_breaks_the_promise_says_so(broken):
    assert row().kept
    assert not row(**broken).kept
    assert "BROKEN" in report.table([row(**broken)]) or "x" in report.table([row(**broken)])


class Echo:
    """A server that sends back what it gets."""

    def __init__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with connection, contextlib.suppress(ConnectionResetError):
            while data := connection.recv(4096):
                connection.sendall(data)

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def proxy():
    echo = Echo()
    proxy = Proxy(echo.port)
    yield proxy
    proxy.close()
    echo.close()


def connect(proxy):
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def test_a_sound_link_passes_bytes_and_ends_on(proxy):
    with connect(proxy) as link:
        link.sendall(b"x" * 300_000)
        link.shutdown(socket.SHUT_WR)
        assert sum(map(len, iter(lambda: link.recv(65536), b""))) == 300_000


def test_a_cut_link_is_reset_and_refused_until_it_is_restored(proxy):
    with connect(proxy) as link:
        link.sendall(b"a")
        assert link.recv(1) == b"a"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            link.recv(1)
    with pytest.raises(ConnectionResetError), connect(proxy) as refused:
        refused.recv(1)
    proxy.restore()
    with connect(proxy) as link:
        link.sendall(b"b")
        assert link.recv(1) == b"b"


def test_a_silent_link_keeps_its_connections_and_passes_nothing(proxy):
    with connect(proxy) as link:
        link.sendall(b"a")
        assert link.recv(1) == b"a"
        proxy.silence()
        link.sendall(b"b")
        link.settimeout(0.2)
        with pytest.raises(TimeoutError):
            link.recv(1)
        link.settimeout(10)
        proxy.restore()
        with pytest.raises(ConnectionResetError):
            link.recv(1)


def test_a_link_may_refuse_or_object(proxy):
    proxy.refuse()
    with connect(proxy) as link:
        link.sendall(b"CONNECT")
        assert link.recv(100) == SERVER_UNAVAILABLE
    proxy.restore()
    proxy.object_to(lambda data: b"bad" in data)
    with connect(proxy) as link:
        link.sendall(b"good")
        assert link.recv(4) == b"good"
        link.sendall(b"bad")
        assert link.recv(4) == b""


def test_the_table_of_the_page_is_made_of_the_kept_figures():
    text = report.PAGE.read_text()
    kept = json.loads(report.RESULTS.read_text())
    assert report.markdown(kept) in text
    assert all(row["lost"] == 0 for row in kept["rows"] if row["system"] == "flowrt")
