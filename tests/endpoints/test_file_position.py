"""A file source goes on behind what was handled, and says when the file is not the one it knew."""

import pytest
from peers import Graph, eventually

from flowrt.endpoints.file_config import FileOptions
from flowrt.endpoints.registry import Endpoints
from flowrt.events import EndpointRefused
from flowrt.operators.source import SourceOperation


@pytest.fixture
def follow(tmp_path):
    """Start a source of `log`, as a fresh process would; gives the graph, the source and what was said."""
    opened = []

    def make(*, at_once=True, **options):
        events, graph = [], Graph(at_once=at_once)
        given = FileOptions(path=tmp_path / "log", follow=True, format="lines", **options)
        ends = Endpoints("g", {"f": given}, emit=events.append, state=tmp_path / "state")
        source = ends.source(SourceOperation(operation_type="source", name="in/1", endpoint="f", topics=("t",)))
        source.start(graph.deliver, lambda: None)
        opened.append(source)
        return graph, source, events

    yield make
    for source in opened:
        source.close()


def payloads(graph):
    return [message.payload for message in graph.messages]


def test_it_goes_on_behind_the_last_line_that_was_handled(tmp_path, follow):
    (tmp_path / "log").write_bytes(b"one\r\n\ntwo\nthree\nfo")
    graph, source, _ = follow(at_once=False)
    graph.expect(3)
    batch = graph.batches[0]
    batch.tracker.settle(batch.seqs[:2])
    source.close()
    with (tmp_path / "log").open("ab") as log:
        log.write(b"ur\nfive\n")

    graph, source, said = follow()

    assert graph.expect(3) == [b"three", b"four", b"five"]
    source.close()
    graph, _, said = follow()
    with (tmp_path / "log").open("ab") as log:
        log.write(b"six\n")
    assert graph.expect(1) == [b"six"]
    assert not [event for event in said if isinstance(event, EndpointRefused)]


@pytest.mark.parametrize("change", ["rotated", "truncated", "written anew"])
def test_a_file_that_is_another_one_is_named_and_read_from_its_start(tmp_path, follow, change):
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\n")
    graph, source, _ = follow()
    graph.expect(2)
    source.close()
    match change:
        case "rotated":
            log.rename(tmp_path / "log.1")
            (tmp_path / "log.1").write_bytes(b"one\ntwo\nlate\n")
            log.write_bytes(b"new\n")
            words = f"which is {tmp_path / 'log.1'} now"
        case "truncated":
            log.write_bytes(b"new\n")
            words = "it was truncated: it has 4 bytes, and 8 had been read"
        case _:
            log.write_bytes(b"new\nand longer than before\n")
            words = "it was written anew"

    graph, _, events = follow()

    assert graph.expect(1)[0] == b"new"
    eventually(lambda: any(words in event.reason for event in events if isinstance(event, EndpointRefused)))


def test_without_resume_it_begins_at_the_beginning(tmp_path, follow):
    (tmp_path / "log").write_bytes(b"one\n")
    for _ in range(2):
        graph, source, _ = follow(resume=False)
        assert graph.expect(1) == [b"one"]
        source.close()
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("resume", [True, False])
def test_a_file_that_is_rotated_while_it_is_followed_is_read_to_its_end_and_then_the_new_one(tmp_path, follow, resume):
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    graph, _, events = follow(resume=resume)
    graph.expect(1)
    log.rename(tmp_path / "log.1")
    with (tmp_path / "log.1").open("ab") as old:
        old.write(b"two\n")
    log.write_bytes(b"three\n")

    assert graph.expect(3) == [b"one", b"two", b"three"]
    log.write_bytes(b"4\n")  # cut, and written anew
    eventually(lambda: payloads(graph)[3:] == [b"4"])
    assert not [event for event in events if isinstance(event, EndpointRefused) and "gone" in event.reason]
