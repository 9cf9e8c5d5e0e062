import os
import socket

import pytest

from flowrt.service import Service


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A socket as systemd has one, and the value of NOTIFY_SOCKET that leads to it."""
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name if request.param == "path" else "\0" + name)
        receiver.settimeout(5)
        yield receiver, name if request.param == "path" else "@" + name


def received(receiver):
    return receiver.recv(4096).decode()


def test_a_life_as_the_manager_sees_it(manager):
    receiver, name = manager
    service = Service({"NOTIFY_SOCKET": name})
    service.ready("pump runs")
    assert received(receiver) == "READY=1\nSTATUS=pump runs"
    service.status("two\nlines=forged")
    assert received(receiver) == "STATUS=two lines=forged"
    service.reloading()
    assert received(receiver).startswith("RELOADING=1\nMONOTONIC_USEC=")
    service.stopping()
    assert received(receiver) == "STOPPING=1\nSTATUS=draining"


def test_the_watchdog_is_told_twice_in_its_interval(manager):
    receiver, name = manager
    seconds = iter(range(31))
    service = Service({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"}, clock=lambda: next(seconds))
    for _ in range(31):
        service.alive()
    service.status("end")
    assert [received(receiver) for _ in range(4)] == ["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STATUS=end"]


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}],
)
def test_without_a_watchdog_of_ours_nothing_is_told(manager, watchdog):
    receiver, name = manager
    service = Service({"NOTIFY_SOCKET": name, **watchdog})
    service.alive()
    service.status("end")
    assert received(receiver) == "STATUS=end"


def test_a_watchdog_for_this_process_is_told(manager):
    receiver, name = manager
    Service({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}).alive()
    assert received(receiver) == "WATCHDOG=1"


@pytest.mark.parametrize("name", ["", "/nowhere/at/all", "@nobody listens", "vsock:2:1", "relative"])
def test_without_a_manager_nothing_happens(name):
    service = Service({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
    service.ready()
    service.alive()
    service.stopping()


def test_a_manager_that_does_not_read_never_holds_the_runtime_up(manager):
    _, name = manager
    service = Service({"NOTIFY_SOCKET": name})
    for _ in range(2000):
        service.status("x" * 1000)
