"""The expression language: what each operator and function gives for each type, and what is refused where."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.transforms.expression import expression, mistakes
from flowrt.transforms.functions import FUNCTIONS, SPECIAL
from flowrt.transforms.grammar import parse
from flowrt.transforms.tree import PRECEDENCE, Binary, Call, ExpressionError, Input, Literal, Tuple, Unary, text_of
from flowrt.transforms.types import Scope
from flowrt.transforms.values import BOOL, INT_MAX, INT_MIN, bound

NAN, INF = math.nan, math.inf


def column(error, text):
    """Whether an error points into the text, right behind it, or nowhere."""
    return 0 <= error.at <= len(text) + 1


def value(text, *inputs):
    """The value, or the words of the error."""
    try:
        return expression(text, len(inputs)).run([bound(given, n) for n, given in enumerate(inputs, 1)])
    except ExpressionError as error:
        return str(error)


def same(found, expected):
    """Equal in type as well; NaN is itself."""
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(found, float) and math.isnan(found)
    return type(found) is type(expected) and found == expected


@pytest.mark.parametrize(
    ("text", "inputs", "expected"),
    [
        # the documented examples
        ('$1 + ", " + $2', ["Analyst", "Kent, WA"], "Analyst, Kent, WA"),
        ("$1 * $2 < 100000", [300, 300], True),
        ("$1 * 2 ^ 3", [5], 40.0),
        ("($1 * 2) ^ 3", [5], 1000.0),
        ("-$1 * 2", [3], -6),
        ("-($1 * 2)", [3], -6),
        ("$1 > 100 && $2 > 200", [101, 201], True),
        ('if($1 > 100, "high", "normal")', [101], "high"),
        ("if($2 == (), $1, $1 * $2)", [4, None], 4),
        ("if($2 == (), $1, $1 * $2)", [4, 3], 12),
        ("if($1 > 5, true, false)", [5], False),
        ("if($1 > 10, 'High', 'Low')", [11], "High"),
        ('$1 + "/" + $2', ["t", "d"], "t/d"),
        ("min(2, 3, 1)", [], 1),
        ("max(2, 3, 1)", [], 3),
        ("min($1)", [[2.34, 12.3, 32.4]], 2.34),
        ('len("Azure")', [], 5),
        ("len(1, 2, 3)", [], 3),
        ("len($1)", [[1, 2, 3, 4]], 4),
        ("floor(2.9)", [], 2.0),
        ("round(2.5)", [], 3.0),
        ("ceil(2.1)", [], 3.0),
        ("scale($1, 0, 10, 0, 100)", [2.5], 25.0),
        ("($1, $2, $3, $4)", [1, 2.5, "a", True], (1, 2.5, "a", True)),
        ("if($1 == (), $2, $1)", [None, 70000], 70000),
        ("$1 + 2 * 3", [1], 7),
        ("$1 * 2 <= $2", [2, 4], True),
        ('$1 == "a" || $1 == "b"', ["b"], True),
        # precedence, from the table
        ("1 < 2 == true", [], True),
        ("true || false && false", [], True),
        ("!true || true", [], True),
        ("2 + 3 * 4 ^ 2", [], 50.0),
        ("10 - 4 - 3", [], 3),
        ("2 ^ 3 ^ 2", [], 64.0),
        ("-2 ^ 2", [], -4.0),
        ("2 ^ -1", [], 0.5),
        ("7 % 4 * 2", [], 6),
        # ints stay ints and do not wrap
        ("7 / 2", [], 3),
        ("-7 / 2", [], -3),
        ("7 % -3", [], 1),
        ("-7 % 3", [], -1),
        ("7.0 / 2", [], 3.5),
        ("1 + 1.0", [], 2.0),
        (f"{INT_MAX}", [], INT_MAX),
        (f"{INT_MIN}", [], INT_MIN),
        (f"{INT_MAX} + 1", [], "the result is an integer of more than 64 bits (column 1)"),
        (f"{INT_MIN} - 1", [], "the result is an integer of more than 64 bits (column 1)"),
        (f"{INT_MIN} / -1", [], "the result is an integer of more than 64 bits (column 1)"),
        ("$1 * $1", [2**40], "the result is an integer of more than 64 bits (column 1)"),
        ("-$1", [INT_MIN], "the result is an integer of more than 64 bits (column 1)"),
        ("$1", [2**63], "$1 is an integer of more than 64 bits; copy it without an expression"),
        ("1 / 0", [], "an int is divided by zero (column 1)"),
        ("1 % 0", [], "an int is divided by zero (column 1)"),
        # floats are IEEE 754
        ("1.0 / 0", [], INF),
        ("-1.0 / 0.0", [], -INF),
        ("0.0 / 0.0", [], NAN),
        ("5.5 % 2", [], 1.5),
        ("1.0 % 0.0", [], NAN),
        ("0.1 + 0.2", [], 0.1 + 0.2),
        ("0 ^ -1", [], INF),
        ("-8.0 ^ (1.0/3)", [], -2.0),
        ("(-8.0) ^ 0.5", [], NAN),
        ("10.0 ^ 400", [], INF),
        # equality and order
        ("1 == 1.0", [], True),
        ('1 == "1"', [], False),
        ("1 == true", [], False),
        ("(1, 2) == (1.0, 2)", [], True),
        ("(1, true) == (1, 1)", [], False),
        ("() == ()", [], True),
        ("$1 != ()", [0], True),
        ('"a" < "b"', [], True),
        ("false < true", [], True),
        ("1 < 1.5", [], True),
        ("$1 < 3", ["2"], "'<' compares two numbers, two strings or two booleans, and $1 is the string \"2\" "
         "and 3 is the int 3 (column 1)"),
        ("$1 > 3", [None], "'>' compares two numbers, two strings or two booleans, and $1 is missing and 3 is the "
         "int 3 (column 1)"),
        # text
        ('"a" + 1 + 1.5 + true', [], "a11.5true"),
        ('1 + 1 + "a"', [], "2a"),
        (r'"tab\tquote\" back\\"', [], 'tab\tquote" back\\'),
        ("$1 + $2", ["a", None], "'+' takes a number or a string or a boolean, and $2 is missing (column 6)"),
        ("$1 + 1", [True], "'+' takes a number or a string, and $1 is the boolean true (column 1)"),
        # the right side only where it decides
        ("false && $1", [3], False),
        ("true || $1", [3], True),
        ("true && $1", [3], "'&&' takes a boolean, and $1 is the int 3 (column 9)"),
        ("!$1", [0], "'!' takes a boolean, and $1 is the int 0 (column 2)"),
        # documents take part in no expression
        ("$1", [{"a": 1}], "$1 is or holds a JSON object; copy it without an expression, or name a field in it"),
        ("len($1)", [[{"a": 1}]], "$1 is or holds a JSON object; copy it without an expression, or name a field in it"),
        ("len($1)", [[[1], [2]]], 2),
    ],
)  # fmt: skip
def test_an_expression_has_this_value(text, inputs, expected):
    assert same(value(text, *inputs), expected), value(text, *inputs)


ODD = {"int": 4, "float": 2.25, "string": "ab", "bool": True, "missing": None, "tuple": [1, 2.5]}
"""One value of each type, which every function of one argument is given."""
NUMERIC = {
    "cToF": (39.2, 36.05),
    "fToC": (-15.555555555555555, -16.52777777777778),
    "psiToBar": (0.2757904, 0.1551321),
    "barToPsi": (58.01507231578764, 32.63347817763055),
    "inToCm": (10.16, 5.715),
    "cmToIn": (1.574803149606299, 0.8858267716535433),
    "ftToM": (1.2192, 0.6858),
    "mToFt": (13.123359580052492, 7.381889763779527),
    "lbToKg": (1.814368, 1.020582),
    "kgToLb": (8.81849768073511, 4.960404945413499),
    "galToL": (15.14164, 8.5171725),
    "lToGal": (1.0566887074319559, 0.5943873979304752),
    "floor": (4.0, 2.0),
    "round": (4.0, 2.0),
    "ceil": (4.0, 3.0),
    "math::abs": (4, 2.25),
    "math::sqrt": (2.0, 1.5),
    "math::cbrt": (1.5874010519681994, 1.3103706971044482),
    "math::ln": (1.3862943611198906, 0.8109302162163288),
    "math::log2": (2.0, 1.1699250014423124),
    "math::log10": (0.6020599913279624, 0.3521825181113625),
    "math::exp": (54.598150033144236, 9.487735836358526),
    "math::exp2": (16.0, 4.756828460010884),
    "math::cos": (-0.6536436208636119, -0.6281736227227391),
    "math::sin": (-0.7568024953079282, 0.7780731968879212),
    "math::tan": (1.1578212823495777, -1.2386276162240966),
    "math::acos": (NAN, NAN),
    "math::asin": (NAN, NAN),
    "math::atan": (1.3258176636680326, 1.1525719972156676),
}
OTHERS = {
    "len": {"string": 2, "tuple": 2},
    "str::to_lowercase": {"string": "ab"},
    "str::to_uppercase": {"string": "AB"},
    "str::trim": {"string": "ab"},
    "str::from": {"int": "4", "float": "2.25", "string": "ab", "bool": "true", "missing": "()", "tuple": "(1, 2.5)"},
    "min": {"int": 4, "float": 2.25, "tuple": 1},
    "max": {"int": 4, "float": 2.25, "tuple": 2.5},
    "typeof": {name: {"bool": "boolean", "missing": "empty"}.get(name, name) for name in ODD},
}
WANTED = {"len": "a string or a tuple", "min": "a number or a tuple", "max": "a number or a tuple"}


def of_each_type():
    for name, (of_int, of_float) in NUMERIC.items():
        yield name, {"int": of_int, "float": of_float}, "a number"
    for name, values in OTHERS.items():
        yield name, values, WANTED.get(name, "a string")


@pytest.mark.parametrize(("name", "values", "wanted"), list(of_each_type()))
def test_a_function_of_one_argument(name, values, wanted):
    """A number within a rounding step of what is right; for what it does not take, an error that says what it does."""
    for kind, odd in ODD.items():
        found = value(f"{name}($1)", odd)
        if kind not in values:
            assert f"{name} takes {wanted}, and $1 is" in found
        elif isinstance(values[kind], float):
            assert isinstance(found, float)
            assert found == pytest.approx(values[kind], rel=1e-9, nan_ok=True)
        else:
            assert same(found, values[kind]), kind


SEVERAL = {
    "scale": ([3, 0, 8, 10, 20], [
        {"int": 15.0, "float": 12.8125}, {"int": 7.5, "float": 11.304347826086957},
        {"int": 17.5, "float": 23.333333333333332}, {"int": 10.0, "float": 8.90625}, {"int": 7.75, "float": 7.09375},
    ], "a number"),
    "round_n": ([1.23456, 2], [{"int": 4.0, "float": 2.25}, {"int": 1.2346}], ["a number", "an int"]),
    "math::log": ([8, 2], [{"int": 2.0, "float": 1.1699250014423124}, {"int": 1.5, "float": 2.564266937027182}],
                  "a number"),
    "math::pow": ([2, 10], [{"int": 1048576.0, "float": 3325.256730079651}, {"int": 16.0, "float": 4.756828460010884}],
                  "a number"),
    "math::atan2": ([1, 1], [{"int": 1.3258176636680326, "float": 1.1525719972156676},
                             {"int": 0.24497866312686414, "float": 0.4182243295792291}], "a number"),
    "math::hypot": ([3, 3], [{"int": 5.0, "float": 3.75}, {"int": 5.0, "float": 3.75}], "a number"),
    "str::substring": (["hello", 0, 2], [
        {"string": "ab"}, {"int": "str::substring from 4 to 2 is outside a text of 5 characters (column 1)"},
        {"int": "hell"},
    ], ["a string", "an int", "an int"]),
    "str::regex_replace": (["b", '"b"', "x"], [{"string": "ax"}, {}, {"string": "ab"}], "a string"),
    "str::regex_matches": (["b", '"b"'], [{"string": True}, {}], "a string"),
    "contains": ([[4, "ab", [1, 2.5]], 9], [
        {"tuple": False}, {"int": True, "float": False, "string": True, "bool": False, "missing": False, "tuple": True},
    ], "a tuple"),
    "contains_any": ([[9, 2.5], [9]], [{"tuple": False}, {"tuple": True}], "a tuple"),
    "if": ([False, 1, 2], [
        {"bool": 1}, dict.fromkeys(ODD, 2),
        {"int": 4, "float": 2.25, "string": "ab", "bool": True, "missing": None, "tuple": (1, 2.5)},
    ], "a boolean"),
    "min": ([3, 3], [{"int": 3, "float": 2.25}] * 2, "numbers"),
    "max": ([3, 3], [{"int": 4, "float": 3}] * 2, "numbers"),
    "len": ([1, 1], [dict.fromkeys(ODD, 2)] * 2, ""),
    "typeof": ([1, 1], [dict.fromkeys(ODD, "tuple")] * 2, ""),
    "str::from": ([1, 1], [
        {"int": "(4, 1)", "float": "(2.25, 1)", "string": "(ab, 1)", "bool": "(true, 1)", "missing": "((), 1)",
         "tuple": "((1, 2.5), 1)"},
        {"int": "(1, 4)", "float": "(1, 2.25)", "string": "(1, ab)", "bool": "(1, true)", "missing": "(1, ())",
         "tuple": "(1, (1, 2.5))"},
    ], ""),
}  # fmt: skip
"""Arguments that fit; for each argument, what comes of the values of `ODD` in its place; what it takes otherwise. A
pattern stands in the text."""


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name, (given, _, _) in SEVERAL.items() for place in range(len(given))]
)
def test_each_argument_of_a_function_of_several(name, place):
    """Every type in the place of every argument, the others as they should be."""
    given, results, wanted = SEVERAL[name]
    if isinstance(given[place], str) and given[place].startswith('"'):
        text = f"{name}({', '.join(f'${at}' for at in range(1, len(given) + 1))})"
        assert "a pattern has to be written out" in mistakes(text, 3)[0].message
        return
    spelt = [f"${at}" if not str(each).startswith('"') else each for at, each in enumerate(given, 1)]
    takes = wanted if isinstance(wanted, str) else wanted[place]
    for kind, odd in ODD.items():
        found = value(f"{name}({', '.join(spelt)})", *given[:place], odd, *given[place + 1 :])
        expected = results[place].get(kind, takes)
        if kind not in results[place]:
            assert f"{name} takes {takes}, and " in found, kind
        elif isinstance(expected, float):
            assert found == pytest.approx(expected, rel=1e-12), kind
        else:
            assert same(found, expected), (kind, found)


@pytest.mark.parametrize(
    ("text", "inputs", "expected"),
    [
        ("scale($1, 0, 4095, 0, 100)", [4095], 100.0),
        ("scale($1, 1, 1, 0, 1)", [1], "scale's source range is empty: its ends are equal (column 1)"),
        ("scale($1, 0, 1, 0, 1)", ["1"], 'scale takes a number, and $1 is the string "1" (column 7)'),
        ("round_n($1, 2)", [2.345], 2.35),
        ("round_n($1, 0)", [-2.5], -3.0),
        ("round_n($1, 15)", [1e300], 1e300),
        ("round_n($1, 16)", [1.0], "round_n takes 0 to 15 decimals, not 16 (column 1)"),
        ("round_n($1, 1)", [None], "round_n takes a number, and $1 is missing (column 9)"),
        ("round($1)", [0.49999999999999994], 0.0),
        ("round($1)", [-0.5], -1.0),
        ("floor($1)", [-0.5], -1.0),
        ("floor(1.0 / 0)", [], INF),
        ("math::abs($1)", [-5], 5),
        ("math::abs($1)", [INT_MIN], "the result is an integer of more than 64 bits (column 1)"),
        ("math::sqrt(-1)", [], NAN),
        ("math::ln(0)", [], -INF),
        ("math::log2(-1)", [], NAN),
        ("math::exp(1000)", [], INF),
        ("math::log(8, 2)", [], 3.0),
        ("math::log(8, 1)", [], INF),
        ("math::log($1, 2)", [True], "math::log takes a number, and $1 is the boolean true (column 11)"),
        ("math::pow(2, 10)", [], 1024.0),
        ("math::pow(-2, 0.5)", [], NAN),
        ("math::atan2(1, 1)", [], math.pi / 4),
        ("math::hypot(3, 4)", [], 5.0),
        ("math::hypot($1, 4)", ["3"], 'math::hypot takes a number, and $1 is the string "3" (column 13)'),
        ("math::sin(1.0 / 0)", [], NAN),
        ("str::trim($1)", ["  x \t"], "x"),
        ("str::from(1, 2)", [], "(1, 2)"),
        ("str::from(1.0)", [], "1.0"),
        ("len($1)", ["°C"], 2),
        ("str::substring($1, 1, 3)", ["hello"], "el"),
        ("str::substring($1, 1)", ["hello"], "ello"),
        ("str::substring($1, 3, 1)", ["hello"], "str::substring from 3 to 1 is outside "
         "a text of 5 characters (column 1)"),
        ("str::substring($1, 0, 6)", ["hello"], "str::substring from 0 to 6 is outside "
         "a text of 5 characters (column 1)"),
        ("str::substring($1, 0, 1)", [5], "str::substring takes a string, and $1 is the int 5 (column 16)"),
        (r'str::regex_matches($1, "^a\\d+$")', ["a12"], True),
        ('str::regex_matches($1, "b")', ["abc"], True),
        ('str::regex_matches($1, "b")', [5], "str::regex_matches takes a string, and $1 is the int 5 (column 20)"),
        ('str::regex_matches($1, "(a+)+$")', ["a" * 5000 + "b"], False),
        ('str::regex_matches($1, "a")', ["\ud800"], "the text holds half of a surrogate pair (column 1)"),
        ('str::regex_replace($1, "[0-9]+", "#")', ["a1b22"], "a#b#"),
        ('str::regex_replace($1, "(?P<n>[a-z])(\\\\d)", "${2}$n$$$9")', ["a1b2"], "1a$2b$"),
        ("min($1, 3)", [[1]], "min takes numbers, and the tuple holds a value that is tuple (column 1)"),
        ("min($1)", [[]], "min needs at least one number, and the tuple is empty (column 1)"),
        ("max(1, 2.5)", [], 2.5),
        ("contains($1, 2)", [[1, 2.0]], True),
        ("contains($1, true)", [[1]], False),
        ("contains($1, 1)", ["1"], 'contains takes a tuple, and $1 is the string "1" (column 10)'),
        ('contains_any($1, (9, "b"))', [["a", "b"]], True),
        ("contains_any($1, ())", [["a"]], None),
        ("contains_any($1, $2)", [list(range(100_000)), list(range(-100_000, 0))], False),
        ("contains_any($1, $2)", [[1, "a"], [True, 1.0]], True),
        ("typeof(1, 2)", [], "tuple"),
        ("typeof(())", [], "empty"),
        ("if($1, 1, 2)", [None], "if takes a boolean, and $1 is missing (column 4)"),
        ("if(true, 1, 1 / 0)", [], 1),
    ],
)  # fmt: skip
def test_a_function_of_several_arguments_and_at_its_edges(text, inputs, expected):
    found = value(text, *inputs)
    if expected is None:
        assert found == "contains_any takes a tuple, and () is an empty (column 18)"
    else:
        assert same(found, expected), found


def test_every_function_stands_in_a_table_above():
    assert {*NUMERIC, *OTHERS, *SEVERAL} == {*FUNCTIONS, *SPECIAL}
    takes_several = {name for name, each in FUNCTIONS.items() if len(each.parameters) > 1 or each.gathers}
    assert set(SEVERAL) == takes_several | set(SPECIAL)


@pytest.mark.parametrize(
    ("text", "inputs", "expected"),
    [
        ("", 0, [(1, 'the expression is empty; write a value (such as $1, 5, "text" or a function)')]),
        ("$1 and $2", 2, [(4, "there is no operator 'and'; write &&")]),
        ("not $1", 1, [(1, "there is no operator 'not'; write !")]),
        ("$1 = 2", 1, [(4, "there is no operator '='; write ==")]),
        ("$1 +", 1, [(5, 'the expression ends where a value (such as $1, 5, "text" or a function) is expected')]),
        ("(1, 2", 0, [(6, "the expression ends where an operator or ',' or ')' is expected")]),
        ("1 2", 0, [(3, "found '2' where an operator is expected")]),
        ("$1 @ 2", 1, [(4, "found '@' where an operator is expected")]),
        ("$x", 1, [(1, "an input is $ and a number, from $1")]),
        ('$1 == "a', 1, [(7, 'the text that begins here is not closed; write " at its end')]),
        (r'"\d"', 0, [(2, r"""\d means nothing in a text; known are \\, \", \', \n, \r, \t, and a backslash is \\""")]),
        ("temperature > 5", 1, [(1, "'temperature' means nothing here; inputs are $1, $2, …, and text stands "
          "in quotes")]),
        ("ture", 1, [(1, "'ture' means nothing here; inputs are $1, $2, …, and text stands in quotes; did you mean "
          "'true'?")]),
        ("$0 + $3", 2, [(1, "there is no $0: there are 2 inputs"), (6, "there is no $3: there are 2 inputs")]),
        ("abs($1)", 1, [(1, "there is no function 'abs'; did you mean 'math::abs'?")]),
        ("ctof($1)", 1, [(1, "there is no function 'ctof'; did you mean 'cToF'?")]),
        ("cToF($1, 2)", 1, [(1, "cToF takes 1 argument, and 2 are given")]),
        ("str::substring($1)", 1, [(1, "str::substring takes 2 to 3 arguments, and 1 is given")]),
        ("average($1)", 1, [(1, "average is available in an accumulation rule of a window only")]),
        ("running_sum($1)", 1, [(1, "running_sum is available in a trigger of a window only")]),
        ('"a" * 2 + !5', 0, [(1, "'*' takes a number, and \"a\" is a string"),
          (12, "'!' takes a boolean, and 5 is an int")]),
        ('1 < "a"', 0, [(1, "'<' compares two numbers, two strings or two booleans, not an int on the left and a "
          "string on the right")]),
        ("true + false", 0, [(1, "'+' adds numbers, or joins texts when one side is a string, not a boolean and a "
          "boolean")]),
        ("if(1, 2, 3)", 0, [(4, "if takes a boolean, and 1 is an int")]),
        ('cToF(if($1, "a", "b"))', 1, [(6, 'cToF takes a number, and if($1, "a", "b") is a string')]),
        ("str::regex_matches($1, $2)", 2, [(24, "a pattern has to be written out as a text, so that no message can "
          "bring its own")]),
        ('str::regex_matches($1, "(")', 1, [(24, "the pattern is no regular expression: missing ): (")]),
        ("9223372036854775808", 0, [(1, "the number does not fit into 64 bits; write it as a float, with .0")]),
        ("1e999", 0, [(1, "the number is too large for a float")]),
        ("1+" * 300 + "1", 0, [(1, "the expression is more than 200 levels deep; split it")]),
        ("1" * 9000, 0, [(0, "the expression has 9000 characters; it may have 8192")]),
    ],
)  # fmt: skip
def test_a_mistake_is_found_before_any_message(text, inputs, expected):
    assert [(error.at, error.message) for error in mistakes(text, inputs)] == expected


@pytest.mark.parametrize(
    ("text", "scope", "expected"),
    [
        ("average($1) + max($2)", Scope.WINDOW, []),
        ("cToF(average($1))", Scope.WINDOW, []),
        ("max(min($1), 3)", Scope.WINDOW, []),
        ("$1", Scope.WINDOW, [1]),
        ("average($1 + $2)", Scope.WINDOW, [1]),
        ("average($1) + $2", Scope.WINDOW, [15]),
        ("running_sum($1) + $1 > 100", Scope.TRIGGER, []),
        ("running_count() > 3", Scope.TRIGGER, []),
        ("changed($1)", Scope.TRIGGER, []),
        ("changed()", Scope.TRIGGER, [1]),
        ("prev($3) == 1", Scope.TRIGGER, [6]),
    ],
)
def test_a_window_and_a_trigger_have_functions_of_their_own(text, scope, expected):
    assert [error.at for error in mistakes(text, 2, scope)] == expected


def test_a_condition_has_to_be_a_boolean():
    assert [error.message for error in mistakes("$1 * 2", 1, wanted=BOOL)] == [
        "the result has to be a boolean, and it is a number"
    ]
    assert mistakes("$1", 1, wanted=BOOL) == []


numbers = st.one_of(st.integers(INT_MIN, INT_MAX), st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3))
literals = st.one_of(numbers, st.booleans(), st.text(max_size=5)).map(Literal)
leaves = st.one_of(literals, st.integers(1, 3).map(Input))
OPERATORS = [operator for level in PRECEDENCE for operator in level]


def deeper(inner):
    return st.one_of(
        st.builds(Binary, st.sampled_from(OPERATORS), inner, inner),
        st.builds(Unary, st.just("!"), inner),
        st.builds(Unary, st.just("-"), st.one_of(st.integers(1, 3).map(Input), st.builds(Unary, st.just("!"), inner))),
        st.one_of(st.just(()), st.lists(inner, min_size=2, max_size=3)).map(tuple).map(Tuple),
        st.builds(Call, st.sampled_from([*FUNCTIONS, *SPECIAL]), st.lists(inner, max_size=3).map(tuple)),
    )


trees = st.recursive(leaves, deeper, max_leaves=12)
json_values = st.one_of(st.none(), numbers, st.booleans(), st.text(max_size=5), st.lists(numbers, max_size=3))


@settings(max_examples=300, deadline=None)
@given(trees)
def test_what_is_printed_parses_to_the_same(tree):
    assert parse(text_of(tree)) == tree


@settings(max_examples=500, deadline=None)
@given(trees, st.lists(json_values, min_size=3, max_size=3))
def test_no_expression_ends_in_anything_but_a_value_or_an_error_with_its_column(tree, inputs):
    text = text_of(tree)
    try:
        found = expression(text, 3).run([bound(item, 1) for item in inputs])
        sound = bound(found, 1) == found or found != found
    except ExpressionError as error:
        sound = column(error, text)
    assert sound


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=30), st.text(alphabet="$12+-*/^()<>=!&|\"'\\, .eiftrumn:", max_size=30)))
def test_no_text_ends_in_anything_but_a_tree_or_an_error_with_its_column(text):
    try:
        sound = parse(text_of(parse(text))) == parse(text)
    except ExpressionError as error:
        sound = column(error, text)
    assert sound
