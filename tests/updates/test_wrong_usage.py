"""Commands of the registry and of updates that cannot do what was asked say why, in words and on one line."""

import pytest

from flowrt.cli.main import main


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (["pull", "/nowhere/x-1.0.wasm"], 1, "/nowhere/x-1.0.wasm: No such file or directory\n"),
        (["pull", "http://127.0.0.1:1/x.wasm"], 1, "http://127.0.0.1:1/x.wasm: Connection refused\n"),
        (["pull", "ftp://127.0.0.1/x.wasm"], 1, "ftp://127.0.0.1/x.wasm: nothing is brought that way; name a file, "),
        (["push", "x:1", "oci://127.0.0.1:1/x:1"], 1, "x:1: x:1 is not in the store\n"),
        (["store", "keygen", "/nowhere/release"], 1, "/nowhere/release.key: No such file or directory\n"),
        (["store", "import", "/nowhere/stick"], 1, "/nowhere/stick: No such file or directory\n"),
        (["apply", "/nowhere/g.yaml"], 3, "flowrt: /nowhere/g.yaml cannot be read: No such file or directory\n"),
        (["history"], 0, "no update is noted in "),
        (["history", "pump"], 0, "no update of graph 'pump' is noted in "),
        (["rollback"], 3, "flowrt: no runtime listens at "),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_in_a_line(tmp_path, capsys, command, status, words):
    state = [] if command[1:2] == ["keygen"] else ["--state", str(tmp_path)]

    assert main([*command, *state]) == status

    told = capsys.readouterr().err
    assert told.startswith(words)
    assert told.count("\n") == 1
