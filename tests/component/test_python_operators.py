"""Operators in Python: the template builds and runs, and so does one in the style of AIO's documentation.

Building one takes half a minute of a core: these tests run where componentize-py is installed.
"""

import json
from pathlib import Path

import pytest
from component_guests import batch

from flowrt.errors import GuestTrap
from flowrt.guests.build import build

TEMPLATE = Path(__file__).parents[2] / "modules" / "aio-python"
DOCUMENTED = """
from map_impl import exports, imports
from map_impl.imports import types
from map_impl.types import Err

calls = 0

class Map(exports.Map):
    def init(self, configuration):
        imports.logger.log(imports.logger.Level.INFO, "module/map", "Init invoked")
        self.unit = dict(configuration.properties)["unit"]
        return True

    def process(self, message):
        global calls
        calls += 1
        payload = message.value.payload
        if isinstance(payload, types.BufferOrBytes_Buffer):
            payload = payload.value.read()
        else:
            payload = payload.value
        if payload == b"bad":
            raise Err(types.Error("as documented"))
        if payload == b"worse":
            raise ValueError("not as documented")
        kept = getattr(self, "unit", "lost")
        message.value.payload = types.BufferOrBytes_Bytes(f"{calls} {kept} {len(payload)}".encode())
        return message
"""

pytest.importorskip("componentize_py")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """`built(name)`: the component of the template, or of the documented style."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "documented").mkdir()
    (folder / "documented" / "module.toml").write_text('language = "python"\n')
    (folder / "documented" / "app.py").write_text(DOCUMENTED)
    made = {each.name: each for source in (TEMPLATE, folder) for each in build(source, folder / "out")}
    assert {name: each.error for name, each in made.items()} == {"celsius": None, "documented": None}
    return lambda name: made[name].path.read_bytes()


def test_the_template(built, guest):
    code = built("celsius")
    mapping = guest(code, "map", deadline="60s")
    output = mapping.map(batch(b'{"f": 212}', b"{}", b'{"f": 50, "more": "' + b"x" * 1000 + b'"}'))
    assert [json.loads(payload)["c"] for payload in output.payloads] == [100, 10]
    assert output.errors == {1: "no number at f: 'f'"}
    filtering = guest(code, "filter", [("least", "15")], deadline="60s")
    verdicts, errors = filtering.decide("filter", batch(b'{"c": 14.9}', b'{"c": 15}', b"no JSON"))
    assert (verdicts, list(errors)) == (b"\0\1\0", [2])
    assert list(guest.metrics.series.values()) == [1]
    with pytest.raises(GuestTrap, match="init refused"):
        guest(code, "filter", [("least", "warm")], deadline="60s")


def test_the_documented_style(built, guest):
    """What `init` puts on `self` is gone in `process`, module globals stay; `Err` costs a message, any other exception
    the instance."""
    instance = guest(built("documented"), "map", [("unit", "C")], deadline="60s")
    output = instance.map(batch(b"one", b"bad", b"x" * 1000))
    assert output.payloads == [b"1 lost 3", b"3 lost 1000"]
    assert output.errors == {1: "as documented"}
    with pytest.raises(GuestTrap, match="trap"):
        instance.map(batch(b"worse"))
    texts = [text for _, text in guest.texts()]
    assert "module/map: Init invoked" in texts
    assert any("not as documented" in text for text in texts)
