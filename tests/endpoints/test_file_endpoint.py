"""Files in, files out."""

import threading
from pathlib import Path
from typing import Any

import pytest
from peers import Graph, batch, eventually

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Sink, Source
from flowrt.endpoints.file_config import FileOptions
from flowrt.endpoints.registry import Endpoints
from flowrt.errors import NodeFault, StartError
from flowrt.events import EndpointLost
from flowrt.message import Batch
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation


def source(path: Path, events: list[Any] | None = None, topics: tuple[str, ...] = (), **options: Any) -> Source:
    given = {"file": FileOptions.model_validate({"path": str(path), **options})}
    emit = ([] if events is None else events).append
    operation = SourceOperation(operation_type="source", name="s", endpoint="file", topics=topics)
    return Endpoints("graph", given, emit=emit).source(operation)


def sink(path: Path, on_refused: Any = None, events: list[Any] | None = None, **options: Any) -> Sink:
    given = {"file": FileOptions.model_validate({"path": str(path), **options})}
    emit = ([] if events is None else events).append
    opened = Endpoints("graph", given, emit=emit).sink(
        SinkOperation(operation_type="sink", name="t", endpoint="file"), on_refused
    )
    opened.start()
    return opened


def read(path: Path, **options: Any) -> tuple[list[bytes], Source]:
    graph, ended = Graph(), threading.Event()
    reader = source(path, **options)
    reader.start(graph.deliver, ended.set)
    assert ended.wait(10)
    reader.close()
    return [message.payload for message in graph.messages], reader


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"1\n2\n", [b"1", b"2"]),
        (b"1\r\n\n\n2", [b"1", b"2"]),
        (b"\xff\xfe\n", [b"\xff\xfe"]),
        (b"x\n" * 2000, [b"x"] * 2000),
        (b"y" * 600_000 + b"\nz\n", [b"y" * 600_000, b"z"]),
    ],
)
def test_a_source_reads_lines_and_ends(tmp_path: Path, content: bytes, expected: list[bytes]) -> None:
    (tmp_path / "in").write_bytes(content)
    assert read(tmp_path / "in")[0] == expected


def test_overlong_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"a\n" + b"x" * 700_000 + b"\nb\n" + b"y" * 11 + b"\nc")
    payloads, reader = read(tmp_path / "in", maxLine=10)
    assert payloads == [b"a", b"b", b"c"]
    assert reader.counters.dropped == {"malformed": 2}


def test_the_topic_is_the_option_or_the_files_name(tmp_path: Path) -> None:
    (tmp_path / "readings.jsonl").write_bytes(b"1\n")
    for topics, expected in [((), "readings.jsonl"), (("plant/1",), "plant/1")]:
        graph, ended = Graph(), threading.Event()
        source(tmp_path / "readings.jsonl", topics=topics).start(graph.deliver, ended.set)
        assert ended.wait(10)
        assert graph.messages[0].head.topic == expected
        assert graph.messages[0].head.content_type == "application/json"


def test_a_source_refuses_a_topic_with_wildcards(tmp_path: Path) -> None:
    (tmp_path / "in").touch()
    with pytest.raises(StartError, match=r"\+"):
        source(tmp_path / "in", topics=("a/+",))


def test_a_missing_file_is_found_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no such file"):
        source(tmp_path / "none")


def test_a_following_source_waits_for_more(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"1\n2")
    graph = Graph()
    reader = source(path, follow=True)
    reader.start(graph.deliver, lambda: None)
    graph.expect(1)
    with path.open("ab") as file:
        file.write(b"2\n3\n")
    assert graph.expect(3) == [b"1", b"22", b"3"]
    reader.close()


def test_a_sink_appends_settles_and_compacts(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    released: list[int] = []
    writer = sink(path)
    writer.send(batch([b'{"a":1}', b'{\n "b": [1,\n 2]\n}', b"c\n"], tracker=Tracker(released.append)))
    writer.close()
    assert path.read_bytes() == b'before\n{"a":1}\n{"b":[1,2]}\nc\n'
    assert released == [3]


@pytest.mark.parametrize("torn", ['{"n": 1}\n{"n": 2}\n{"n"', '{"n"'])
def test_a_sink_begins_a_line_of_its_own_behind_what_a_killed_one_left(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(torn)

    out = sink(path)
    out.start()
    out.send(batch([b'{"n": 2}', b'{"n": 3}']))
    out.close()

    assert path.read_text() == torn + '\n{"n": 2}\n{"n": 3}\n'


def test_text_of_several_lines_is_refused(tmp_path: Path) -> None:
    refused: list[tuple[Batch, NodeFault]] = []
    writer = sink(tmp_path / "out", lambda rows, fault: refused.append((rows, fault)))
    writer.send(batch([b"a", b"no\njson", b"b"]))
    writer.close()
    assert (tmp_path / "out").read_bytes() == b"a\nb\n"
    assert [rows.payloads for rows, _ in refused] == [[b"no\njson"]]


def test_a_sink_whose_folder_comes_later_waits_for_it(tmp_path: Path) -> None:
    events: list[Any] = []
    writer = sink(tmp_path / "later" / "out", events=events)
    sender = threading.Thread(target=writer.send, args=(batch([b"1"]),))
    sender.start()
    eventually(lambda: any(isinstance(event, EndpointLost) for event in events))
    (tmp_path / "later").mkdir()
    sender.join(10)
    assert (tmp_path / "later" / "out").read_bytes() == b"1\n"
    writer.close()
