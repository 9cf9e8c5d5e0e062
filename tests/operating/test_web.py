import http.client
import socket
import threading

import pytest
from views import pump

from flowrt.errors import StartError
from flowrt.web.address import Address, parse_address
from flowrt.web.pages import pages
from flowrt.web.server import CONNECTIONS, REQUEST_BYTES, Response, WebServer


@pytest.fixture
def serve():
    """Serve pages of graphs, or given routes, on a free port."""
    servers = []

    def start(*graphs, routes=None):
        server = WebServer(Address("127.0.0.1", 0), routes or pages(lambda: graphs))
        servers.append(server)
        server.start()
        return server.address.port

    yield start
    for server in servers:
        server.stop()


def ask(port, path, method="GET", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("graphs", "healthz", "readyz"),
    [
        ([pump()], (200, "ok\n"), (200, "ok\n")),
        ([pump(ready=False)], (200, "ok\n"), (503, "graph 'pump' waits for plant\n")),
        ([pump(broken=["pump/features"])], (503, "graph 'pump': stage 'pump/features' has ended\n"), (200, "ok\n")),
        ([], (200, "ok\n"), (503, "no graph is running\n")),
    ],
    ids=["all is well", "a broker is away", "a stage has died", "between two graphs"],
)
def test_health_and_readiness_tell_different_things(serve, graphs, healthz, readyz):
    port = serve(*graphs)
    assert ask(port, "/healthz")[:2] == healthz
    assert ask(port, "/readyz")[:2] == readyz


def test_metrics_come_in_the_format_asked_for(serve):
    port = serve(pump())
    status, text, headers = ask(port, "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert 'flowrt_node_received_messages_total{graph="pump",node="sensors"} 100.0' in text
    _, text, headers = ask(port, "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_a_query_changes_nothing(serve):
    assert ask(serve(pump()), "/healthz?verbose=1")[0] == 200


def test_head_is_get_without_the_body(serve):
    status, text, headers = ask(serve(pump()), "/readyz", "HEAD")
    assert (status, text, headers["Content-Length"]) == (200, "", "3")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/../etc/passwd", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/", 405),
    ],
)
def test_nothing_else_is_offered(serve, method, path, status):
    assert ask(serve(pump()), path, method)[0] == status


def talk(port, sent):
    """What the server says to raw bytes, until it hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(sent)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return b""


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n: odd\r\n\r\n",
        b"GET /" + b"a" * 2 * REQUEST_BYTES + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * REQUEST_BYTES + b"\r\n",
        b"\r\n" * 10,
        b"",
    ],
    ids=["tls", "no path", "odd version", "odd header", "long path", "many headers", "blank lines", "nothing"],
)
def test_nonsense_is_refused_and_the_server_goes_on(serve, sent):
    port = serve(pump())
    if sent:
        assert b" 200 " not in talk(port, sent).split(b"\r\n")[0] or sent.startswith(b"GET /metrics HTTP/1.1")
    else:
        socket.create_connection(("127.0.0.1", port)).close()
    assert ask(port, "/healthz")[0] == 200


def test_idle_clients_make_room_for_busy_ones(serve):
    port = serve(pump())
    idle = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(3 * CONNECTIONS)]
    assert ask(port, "/healthz")[0] == 200
    for connection in idle:
        connection.close()


def test_a_client_that_says_nothing_is_hung_up_on(serve, monkeypatch):
    monkeypatch.setattr("flowrt.web.server.REQUEST_SECONDS", 0.05)
    with socket.create_connection(("127.0.0.1", serve(pump())), timeout=10) as connection:
        connection.sendall(b"GET /metrics HT")
        assert b" 200 " not in connection.recv(1000)


def test_stopping_frees_the_port_and_hangs_up():
    inside, leave = threading.Event(), threading.Event()

    def slow(_):
        inside.set()
        leave.wait(10)
        return Response(b"late")

    server = WebServer(Address("127.0.0.1", 0), {"/slow": slow})
    server.start()
    with socket.create_connection(("127.0.0.1", server.address.port), timeout=10) as connection:
        connection.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert inside.wait(10)
        server.stop()
        server.stop()
        assert connection.recv(100) == b""
        leave.set()
    WebServer(server.address, {}).stop()


def test_an_address_in_use_is_a_reason_not_to_start(serve):
    with pytest.raises(StartError, match=r"cannot listen on 127.0.0.1:\d+: Address already in use"):
        WebServer(Address("127.0.0.1", serve(pump())), {})


def test_a_host_that_is_not_ours_is_a_reason_not_to_start():
    with pytest.raises(StartError, match=r"cannot listen on 192.0.2.1:0: Cannot assign requested address"):
        WebServer(Address("192.0.2.1", 0), {})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", Address("127.0.0.1", 9464)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:9464", Address("::1", 9464)),
        ("0.0.0.0:65535", Address("0.0.0.0", 65535)),
    ],
)
def test_addresses_are_read_and_written_alike(text, address):
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("9464", "not HOST:PORT"),
        (":9464", "not HOST:PORT"),
        ("localhost", "not HOST:PORT"),
        ("", "not HOST:PORT"),
        ("localhost:http", "not a port"),
        ("localhost:65536", "not a port"),
        ("localhost:-1", "not a port"),
        ("localhost:٣", "not a port"),
        ("::1:9464", "in brackets"),
        ("[::x]:9464", "not an IPv6 address"),
        ("http://localhost:80", "in brackets"),
        ("user@host:80", "neither an address nor a host name"),
    ],
)
def test_what_is_no_address_is_explained(text, says):
    with pytest.raises(ValueError, match=says):
        parse_address(text)
