"""`flowrt expr`: one expression at the command line."""

import pytest

from flowrt.cli.main import main


def expr(capsys, *arguments):
    """Exit status, standard output, standard error."""
    status = main(["expr", *arguments])
    out, err = capsys.readouterr()
    return status, out.strip(), err


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        (["$1 * 2 + $2", "--input", "20", "--input", "2"], "42"),
        (["if($1 > 5, 'hot', 'cold')", "--input", "7.5"], '"hot"'),
        (["$1", "--input", "9007199254740993"], "9007199254740993"),
        (["len($1)", "--input", "[1, 2, 3]"], "3"),
        (["--input", "3", "--", "-$1"], "-3"),
        (["$1", "--input", '["ä", null, true]'], '["ä",null,true]'),
    ],
)
def test_a_result_is_json(capsys, arguments, result):
    assert expr(capsys, *arguments) == (0, result, "")


def test_steps_are_shown_beside_the_result(capsys):
    status, out, err = expr(capsys, "($1 + 1) * 2", "--input", "4", "--explain")
    assert (status, out) == (0, "10")
    assert err.splitlines() == ["$1 = 4", "$1 + 1 = 5", "($1 + 1) * 2 = 10"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["$1 + "], "column"),
        (["$1 +* 2", "--input", "1"], "column 5"),
        (["nosuch($1)", "--input", "1"], "nosuch"),
        (["$2", "--input", "1"], "$2"),
        (["$1", "--input", "{"], "--input 1 is no JSON"),
        (["$1", "--input", "NaN"], "NaN is no JSON"),
        (["$1", "--input", "18446744073709551617"], "more than 64 bits"),
        (["$1", "--input", '{"value": 21.5}'], "is or holds a JSON object"),
        (["$1 / 0", "--input", "1"], "zero"),
    ],
)
def test_a_mistake_is_one_message_and_status_1(capsys, arguments, words):
    status, out, err = expr(capsys, *arguments)
    assert (status, out) == (1, "")
    assert words in err
    assert "Traceback" not in err
