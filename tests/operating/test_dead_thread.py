"""A runtime whose thread has died ends, so that whoever supervises it starts a fresh one."""

import io

import pytest

from flowrt.cli.serve import _until_something
from flowrt.cli.signals import Bell
from flowrt.errors import FlowrtBug
from flowrt.logs import Logs
from flowrt.service import Service


class Dead:
    """A runtime of which a stage has ended unasked."""

    def finished(self):
        return False

    def look_for_missing(self):
        """Every graph came up."""

    def ready(self):
        return True

    def broken(self):
        return True


class Quiet:
    """No signal comes."""

    happened = Bell()
    end = False


def test_a_dead_thread_ends_the_run():
    with pytest.raises(FlowrtBug, match="has died"):
        _until_something(Dead(), Quiet(), Service({}), Logs(io.StringIO()))
