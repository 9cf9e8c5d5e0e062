import pytest

from flowrt.endpoints.template import parse
from flowrt.endpoints.topics import filter_fault, matches, overlap, topic_fault
from flowrt.errors import NodeFault
from flowrt.message import Head


@pytest.mark.parametrize(
    ("wanted", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("+/+", "/x", True),
        ("#", "$SYS/load", False),
        ("+/load", "$SYS/load", False),
        ("$SYS/#", "$SYS/load", True),
        ("$share/g/a/+", "a/b", True),
        ("a", "a/", False),
    ],
)
def test_matches(wanted: str, topic: str, expected: bool) -> None:
    assert matches(wanted, topic) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "+/b", True),
        ("a/#", "a", True),
        ("#", "x/y/z", True),
        ("a/b", "a/c", False),
        ("a/+", "a/b/c", False),
        ("$share/g/a", "a", True),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected


@pytest.mark.parametrize("sound", ["a", "a/+/b", "#", "/", "+", "$share/g/a/#", "€/°"])
def test_sound_filters(sound: str) -> None:
    assert filter_fault(sound) is None


@pytest.mark.parametrize("bad", ["", "a+", "a/#/b", "a#", "$share/g", "$share//a", "$share/+/a", "a\0", "x" * 65536])
def test_bad_filters(bad: str) -> None:
    assert filter_fault(bad)


@pytest.mark.parametrize("bad", ["", "a/+", "#", "a\0", "x" * 65536, "\ud800"])
def test_bad_topics(bad: str) -> None:
    assert topic_fault(bad)


HEAD = Head("plant/7/pump", properties=(("site", "north"), ("site", "south")))


@pytest.mark.parametrize(
    ("template", "payload", "expected"),
    [
        ("out/x", b"", "out/x"),
        ("{topic}/score", b"", "plant/7/pump/score"),
        ("a/{topic[1]}/{topic[2]}", b"", "a/7/pump"),
        ("{property.site}", b"", "north"),
        ("{json.a.b}/x", b'{"a": {"b": "c"}}', "c/x"),
        ("{json.list.1}", b'{"list": [1, 2.5]}', "2.5"),
        ("{json.on}", b'{"on": true}', "true"),
        ("{{x}}", b"", "{x}"),
    ],
)
def test_a_template_is_filled(template: str, payload: bytes, expected: str) -> None:
    assert parse(template).fill(HEAD, payload) == expected


@pytest.mark.parametrize(
    ("template", "payload", "words"),
    [
        ("{topic[9]}", b"", "no level 9"),
        ("{property.unit}", b"", "no user property 'unit'"),
        ("{json.a}", b"{}", "no value 'a'"),
        ("{json.a}", b'{"a": {}}', "no text and no number"),
        ("{json.a}", b"\xff", "JSON"),
        ("{json.a}", b"[" * 100_000, "JSON"),
        ("{json.a}", b'{"a": "x/#"}', "may not contain"),
        ("{json.a}", b'{"a": ""}', "empty"),
        ("{json.a}", b'{"a": "\\ud800"}', "Unicode"),
    ],
)
def test_a_message_without_a_valid_topic_is_a_fault(template: str, payload: bytes, words: str) -> None:
    with pytest.raises(NodeFault, match=words) as caught:
        parse(template).fill(HEAD, payload)
    assert caught.value.kind == "topic"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "column 1: .*empty"),
        ("a/{nope}", "column 3: '{nope}' is no placeholder"),
        ("a/{topic", "column 3: '{' without"),
        ("a}", "column 2: '}' without"),
        ("{json.}", "column 1"),
        ("{json.a..b}", "column 1"),
        ("{topic}/#", "column 8: .*may not contain"),
    ],
)
def test_a_template_that_cannot_work_is_a_mistake(template: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(template)


def test_what_a_template_depends_on() -> None:
    assert parse("out/x").constant
    assert not parse("{topic}").constant
    assert not parse("{topic}").reads_payload
    assert parse("{json.a}").reads_payload
