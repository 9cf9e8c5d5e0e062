"""The documentation says what the program does."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flowrt.cli.main import parser
from flowrt.graph.model import GraphFile
from flowrt.operators.registry import OPERATIONS
from flowrt.options.descriptions import descriptions
from flowrt.options.validation import model_of
from flowrt.reference import stale, write_docs
from flowrt.reference.configuration import _models

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(*languages):
    """The text of each fenced block in one of these languages, with its page and line."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            if match[1] in languages:
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


def test_generated_pages_are_current():
    assert stale(ROOT / "docs", parser()) == [], "run make docs"


def test_a_page_that_is_missing_or_changed_is_stale(tmp_path):
    write_docs(tmp_path, parser())
    assert stale(tmp_path, parser()) == []
    (tmp_path / "cli.md").write_text("")
    (tmp_path / "metrics.md").unlink()
    assert stale(tmp_path, parser()) == ["cli.md", "metrics.md"]


def test_every_field_of_the_graph_file_is_explained():
    silent = [
        f"{model.__name__}.{name}"
        for model in [*_models(GraphFile, set()), *OPERATIONS.values()]
        for name in model_of(model).model_fields.keys() - descriptions(model).keys() - {"operation_type"}
    ]
    assert silent == []


def is_graph(text):
    return bool(re.search(r"^(operations|modules):", text, re.MULTILINE))


@pytest.mark.parametrize("text", [block for block in blocks("yaml", "yml") if is_graph(block.values[0])])
def test_every_graph_in_the_documentation_passes_the_check(text, tmp_path):
    for name, target in (("modules", "modules"), ("graphs", "graphs"), ("models", "graphs/models")):
        (tmp_path / name).symlink_to(ROOT / target)
    graph = tmp_path / "documented.yaml"
    graph.write_text(text)
    command = [sys.executable, "-m", "flowrt.cli.main", "check", str(graph)]
    problems = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()
    # A page may have the reader write a module of their own, which is not there yet.
    assert [problem for problem in problems if ": missing-module: " not in problem] == []


def flowrt_commands(text):
    """Arguments of every call of flowrt in a block of shell commands."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        for place, word in enumerate(words):
            if word.split("/")[-1] == "flowrt" and (place == 0 or words[place - 1] in ("sudo", "&&", "--pipe")):
                arguments = words[place + 1 :]
                ends = [at for at, argument in enumerate(arguments) if argument in ("|", ">", "&&", "&", "2>")]
                yield arguments[: ends[0] if ends else None]


@pytest.mark.parametrize("text", blocks("sh", "bash", "console", "shell"))
def test_every_command_in_the_documentation_can_be_typed(text):
    for arguments in flowrt_commands(text):
        if arguments:
            parser().parse_args(arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found.read_text()), target


def anchors(text):
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles} | set(
        re.findall(r'<a id="([^"]+)">', text)
    )


def test_every_page_can_be_reached_from_the_readme():
    reached, next_ones = set(), [ROOT / "README.md"]
    while next_ones:
        page = next_ones.pop()
        if page not in reached:
            reached.add(page)
            links = re.findall(r"\]\(([^)\s#]+\.md)[)#]", page.read_text())
            next_ones += [(page.parent / link).resolve() for link in links if not re.match(r"[a-z]+:", link)]
    decisions = {page for page in PAGES if page.parent.name == "decisions"}  # linked as a folder
    assert set(PAGES) - reached - decisions == set()


def test_every_target_of_make_that_is_mentioned_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"`make ([\w-]+)`", page.read_text())) <= targets, page
