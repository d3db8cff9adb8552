"""The expression language: what it means, its errors, and that the compiled evaluator agrees with the reference."""

import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_generator.expressions import (
    ExpressionError,
    UnequalLengthsError,
    compile_expression,
    evaluate,
    normalizer_expression,
)
from feature_generator.expressions.functions import EACH, FUNCTIONS, REDUCE, VARIADIC
from feature_generator.native import Expression

GOLDEN = Path(__file__).parent.parent / "golden" / "fg_cases.jsonl"


def ragged(column):
    return (
        np.array([x for cell in column for x in cell], dtype=np.float64),
        np.cumsum([len(cell) for cell in column], dtype=np.uint32),
        None,
    )


def compiled(program, columns, fill=None):
    """What the compiled evaluator gives, one entry an element: a list, None for missing, "unequal" for misfits."""
    native = Expression(program.native(fill))
    values, ends, unequal = native.run([ragged(column) for column in columns], len(columns[0]))
    cells = [values[a:b].tolist() for a, b in pairwise([0, *ends.tolist()])]
    misfits = {element for element, *_ in unequal}
    assert all(not cells[element] for element in misfits)
    return ["unequal" if e in misfits else cell or None for e, cell in enumerate(cells)]


def meant(program, columns, fill=None):
    """The same by the reference."""

    def one(values):
        try:
            return evaluate(program, values, fill)
        except UnequalLengthsError:
            return "unequal"

    return [one(values) for values in zip(*columns, strict=True)]


def exactly(results):
    """Results with the sign of zero visible."""
    return [[x.hex() for x in r] if isinstance(r, list) else r for r in results]


# ------------------------------------------------------------------------------------ meaning


def golden(case):
    feature = case["features"][0]
    return feature["type"] == "expr" and case["expect"][feature["name"]]["kind"] == "dense"


CASES = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES if golden(case)])
def test_golden_cases(case):
    feature = case["features"][0]
    expect = case["expect"][feature["name"]]["values"]
    default = float(feature.get("default_value", "0"))
    names = [variable.partition(":")[2] for variable in feature["variables"]]
    columns = []
    for name in names:
        cells = case["columns"][name]["values"]
        cells = [[] if c in (None, "") else [float(x) for x in c] if isinstance(c, list) else [float(c)] for c in cells]
        columns.append(cells * (len(expect) if len(cells) == 1 else 1))
    program = compile_expression(feature["expression"], names)
    for evaluated in (compiled(program, columns), meant(program, columns)):
        got = [[default] if cell is None else cell for cell in evaluated]
        np.testing.assert_allclose(np.float32(got), np.float32(expect), rtol=case.get("rtol", 1e-6), atol=1e-6)


INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("text", "inputs", "expected"),
    [
        ("a & b == 2", {"a": 3, "b": 5}, 0),
        ("a & b == 2", {"a": 1, "b": 2}, 1),
        ("6 & 3 | 8", {}, 10),
        ("a & b", {"a": -1.9, "b": 7.9}, 7),
        ("isnan(a & 1)", {"a": 1e19}, 1),
        ("2^3^x", {"x": 2}, 512),
        ("-x^2", {"x": 3}, -9),
        ("2^-x", {"x": 1}, 0.5),
        ("2^-x*3", {"x": 1}, 1.5),
        ("- -x - -1", {"x": 3}, 4),
        ("!x + 1", {"x": 0}, 2),
        ("!(x > 1)", {"x": 2}, 0),
        ("1 < 2 == 1", {}, 1),
        ("8 / 2 / 2 - 1 - 1", {}, 0),
        ("a ? b ? 1 : 2 : 3", {"a": 1, "b": 0}, 2),
        ("a ? 1 : b ? 2 : 3", {"a": 0, "b": 1}, 2),
        ("a > 1 || b ? 5 : 6", {"a": 0, "b": 2}, 5),
        ("1 || 0 && 0", {}, 1),
        ("sign(x)", {"x": 0}, 0),
        ("sign(x)", {"x": -0.5}, -1),
        ("mod(x, 3)", {"x": -7}, -1),
        ("rint(0.5) + 10*rint(1.5) + 100*rint(2.5)", {}, 220),
        ("round(0.5) + 10*round(1.5) + 100*round(2.5)", {}, 321),
        ("round(x)", {"x": -2.5}, -3),
        ("round(0.49999999999999994)", {}, 0),
        ("trunc(x) + 10*floor(x) + 100*ceil(x)", {"x": -1.5}, -121),
        ("roundp(3.14159, 2)", {}, 3.14),
        ("roundp(x, -2)", {"x": 1251}, 1300),
        ("isnan(a/b)", {"a": 0, "b": 0}, 1),
        ("isnan(a/b)", {"a": 1, "b": 0}, 0),
        ("log(_e) + ln(_e) + log10(100) + log2(8)", {}, 7),
        ("cos(_pi)", {}, -1),
        ("pow(x, 2) - x^2", {"x": 1.1}, 0),
        ("max(a, b, 2) - min(a, b, 2)", {"a": -1, "b": 4}, 5),
        ("avg(1, 2, 6) + sum(1, 2, 6)", {}, 12),
        ("abs(-3) + sqrt(16) + exp(0)", {}, 8),
        ("sphere_dist(0, 0, 1, 0)", {}, 111.19492664455873),
        ("haversine(0, 0, 180, 0) / 6371", {}, math.pi),
        ("1e3 + .5 + 2. + 1E-1", {}, 1002.6),
        ("`item price` * a.b", {"item price": 2, "a.b": 3}, 6),
        ("价格 + 1", {"价格": 2}, 3),
        ("min", {"min": 3}, 3),
        ("x > 1e39 ? 2 : 3", {"x": 1e40}, 2),
    ],
)
def test_what_numbers_give(text, inputs, expected):
    program = compile_expression(text, list(inputs))
    columns = [[[float(value)]] for value in inputs.values()] or None
    if columns is None:  # no variable: the element is there all the same
        values, _, _ = Expression(program.native()).run([], 1)
        assert values[0] == pytest.approx(expected, rel=1e-12)
        assert evaluate(program, []) == [values[0]]
        return
    for result in (compiled(program, columns), meant(program, columns)):
        assert result == [[pytest.approx(expected, rel=1e-12, abs=1e-12)]]


V, W = [1.0, 2.0, 4.0], [2.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("text", "v", "w", "fill", "expected"),
    [
        ("len(v)", V, W, None, [3]),
        ("l2_norm(v)", V, W, None, [math.sqrt(21)]),
        ("squared_norm(v)", V, W, None, [21]),
        ("dot(v, w)", V, W, None, [6]),
        ("euclid_dist(v, w)", V, W, None, [math.sqrt(1 + 4 + 9)]),
        ("corr(v, w)", V, W, None, [np.corrcoef(V, W)[0, 1]]),
        ("variance(v)", V, W, None, [14 / 9]),
        ("std_dev(v)", V, W, None, [math.sqrt(14 / 9)]),
        ("pop_variance(v)", V, W, None, [7 / 3]),
        ("pop_std_dev(v)", V, W, None, [math.sqrt(7 / 3)]),
        ("reduce_min(v) + 10*reduce_max(v)", V, W, None, [41]),
        ("reduce_sum(v) + 10*reduce_mean(w) + 100*reduce_prod(v)", V, W, None, [817]),
        ("v * 2 + w", V, W, None, [4, 4, 9]),
        ("v - w", V, [1.0], None, [0, 1, 3]),
        ("max(v, w)", V, W, None, [2, 2, 4]),
        ("v > 1 ? v : -w", V, W, None, [-2, 2, 4]),
        ("len(v) > 2 ? v : w", V, [7.0, 8.0], None, [1, 2, 4]),
        ("len(v) > 3 ? v : w", V, [7.0, 8.0], None, [7, 8]),
        ("v + w", V, [1.0, 2.0], None, "unequal"),
        ("dot(v, w)", V, [4.0, 5.0], None, "unequal"),
        ("dot(v, w)", V, [4.0], None, "unequal"),
        ("isnan(dot(v, w))", V, [4.0, 5.0], None, "unequal"),
        ("len(v) == len(w) ? dot(v, w) : -1", V, [4.0, 5.0], None, [-1]),
        ("dot(v, w)", V, [4.0, 5.0], 0.0, [14]),
        ("dot(v, w)", V, [4.0], 0.0, [4]),
        ("v + w", V, [4.0, 5.0], 1.0, [5, 7, 5]),
        ("v + w", V, [4.0], 1.0, [5, 6, 8]),
        ("v + w", V, [], None, None),
        ("len(v) + w", [], [1.0], None, None),
        ("v", V, [], None, None),
        ("v + w", V, [], 0.5, [1.5, 2.5, 4.5]),
        ("isnan(w) ? 9 : w", V, [], NAN, [9]),
        ("1 / (v - 2)", V, W, None, None),
        ("v * 1e38", V, W, None, None),
        ("pop_variance(w)", V, [3.0], None, None),
        ("corr(v, w)", V, [1.0, 1.0, 1.0], None, None),
    ],
)
def test_what_vectors_give(text, v, w, fill, expected):
    program = compile_expression(text, ["v", "w"])
    columns = [[v], [w]]
    for (result,) in (compiled(program, columns, fill), meant(program, columns, fill)):
        assert result == (pytest.approx(expected, rel=1e-12) if isinstance(expected, list) else expected)


def test_unequal_lengths_name_the_operation_and_the_lengths():
    native = Expression(compile_expression("v + dot(v, w)", ["v", "w"]).native())
    _, ends, unequal = native.run([ragged([[1], [1, 2]]), ragged([[1], [1, 2, 3]])], 2)
    assert ends.tolist() == [1, 1]
    assert unequal == [(1, "dot", 3, 2)]


# ------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("price +", 8, "missing before the end of the text"),
        ("price * / 2", 9, "missing before '/'"),
        ("(price + 1", 1, "'(' is never closed"),
        ("sqrt(price", 5, "'(' is never closed"),
        ("price)", 6, "')' closes nothing"),
        ("price qty", 7, "an operator is missing before 'qty'"),
        ("prise + 1", 1, "did you mean 'price'?"),
        ("1 + lenn(price)", 5, "did you mean 'len'?"),
        ("SQRT(price)", 1, "did you mean 'sqrt'?"),
        ("zzzz(price)", 1, "known: abs, acos"),
        ("price(1)", 1, "'price' is a variable, not a function"),
        ("1 + sqrt", 5, "'sqrt' is a function of 1 argument"),
        ("sqrt()", 1, "sqrt takes 1 argument, not none"),
        ("sqrt(1, 2)", 1, "sqrt takes 1 argument, not 2"),
        ("haversine(1, 2)", 1, "haversine takes 4 arguments, not 2"),
        ("max(price)", 1, "for the values of one vector write reduce_max"),
        ("dot(price, 2 + 1)", 12, "dot takes two vectors, but this is always a single number"),
        ("corr(reduce_sum(price), price)", 6, "always a single number"),
        ("rnd()", 1, "same value in training and in serving"),
        ("price ? 1", 7, "'?' has no ':'"),
        ("(price ? 1)", 8, "'?' has no ':'"),
        ("price : 1", 7, "':' has no '?'"),
        ("(1, 2)", 3, "',' stands between the arguments"),
        ("price = 1", 7, "write =="),
        ("price % 2", 7, "write mod(a, b)"),
        ("price ** 2", 7, "write ^"),
        ("price and qty", 7, "write &&"),
        ("price + '1'", 9, "there are no texts"),
        ("price （1）", 7, "write ("),
        ("`price", 1, "has no end"),
        ("1e999", 1, "too large"),
        ("2price", 2, "an operator is missing"),
        ("price\n+ prise", 9, "unknown variable 'prise'"),
    ],
)
def test_errors_point_into_the_text(text, column, reason):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, ["price", "qty"])
    assert caught.value.position == column - 1
    lines = str(caught.value).splitlines()
    assert reason in lines[0]
    assert lines[-1] == " " * (column + 1) + f"^ column {column}"


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_is_no_expression(text):
    with pytest.raises(ExpressionError, match=r"^is empty$"):
        compile_expression(text, ["x"])


def test_a_long_text_is_shown_around_the_error():
    with pytest.raises(ExpressionError) as caught:
        compile_expression("x + " * 500 + "y" + " + x" * 400, ["x"])
    *_, shown, caret = str(caught.value).splitlines()
    assert len(shown) <= 80
    assert shown[caret.index("^")] == "y"
    assert caret.endswith("column 2001")


def test_the_length_is_bounded_and_depth_needs_no_stack():
    with pytest.raises(ExpressionError, match="at most 4096"):
        compile_expression("x" + "+x" * 2100, ["x"])
    depth = 2047
    for text in ("(" * depth + "x" + ")" * depth, "-" * 4095 + "x", "2^" * depth + "x", "x" + "-x" * depth):
        program = compile_expression(text, ["x"])
        assert compiled(program, [[[0.0]]]) == meant(program, [[[0.0]]])
    program = compile_expression("abs(" * 800 + "x" + ")" * 800, ["x"])
    assert compiled(program, [[[-2.0]]]) == [[2.0]]


def test_two_variables_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two variables are called 'a'"):
        compile_expression("a", ["a", "b", "a"])


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("method=expression,expr=sqrt(x)+1", "sqrt(x)+1"),
        (" method = expression , expr = max(x, 1) == 2 ? 1 : 0", "max(x, 1) == 2 ? 1 : 0"),
        ("method=log10,threshold=1", None),
    ],
)
def test_normalizers_hold_expressions(text, expression):
    assert normalizer_expression(text) == expression


@pytest.mark.parametrize("text", ["method=expression", "method=expression,formula=x", "method=expression,expr"])
def test_a_normalizer_without_a_formula_is_refused(text):
    with pytest.raises(ValueError, match="expr=<formula in x>"):
        normalizer_expression(text)


# ------------------------------------------------------------------------------------ programs


def test_equal_subexpressions_are_computed_once():
    program = compile_expression("sqrt(x + 1) * sqrt(x + 1) + (x + 1)", ["x"])
    assert [operation for operation, _ in program.code] == ["add", "sqrt", "multiply", "add"]
    assert program.constants == (1.0,)


def test_a_program_survives_json():
    program = compile_expression("max(v, 2, w) + 0.1", ["v", "w"])
    again = Expression(json.loads(json.dumps(program.native(0.5))))
    inputs = [ragged([[1.0, 3.0]]), ragged([[5.0, 1.0, 1.0]])]
    assert again.run(inputs, 1)[0].tolist() == Expression(program.native(0.5)).run(inputs, 1)[0].tolist()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code": "add 0 3"}, "not computed yet"),
        ({"code": "add 0 2"}, "not computed yet"),
        ({"code": "add 0"}, "lacks an operand"),
        ({"code": "add 0 -1"}, "lacks an operand|not computed yet"),
        ({"code": "add 0 1 1"}, "too many operands"),
        ({"code": "system 0"}, "no operation 'system'"),
        ({"code": "\nadd 0 1"}, "no operation ''"),
        ({"result": 3}, "no value of the program"),
        ({"result": -1}, "no value of the program"),
        ({"inputs": -1}, "too long"),
    ],
)
def test_what_is_no_program_is_refused(change, reason):
    good = {"inputs": 1, "constants": [1.0], "code": "add 0 1", "result": 2}
    assert Expression(good).run([ragged([[1.0]])], 1)[0].tolist() == [2.0]
    with pytest.raises(ValueError, match=reason):
        Expression(good | change)


# ------------------------------------------------------------------------------------ random expressions

NAMES = ("a", "b", "c", "d")
LEVEL = {"||": 1, "&&": 2, "|": 3, "&": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "==": 5, "!=": 5}
LEVEL |= {"+": 6, "-": 6, "*": 7, "/": 7, "^": 9}
PAIRS = ("dot", "euclid_dist", "corr")


@st.composite
def trees(draw, depth=4):
    """A tree as nested tuples: its kind, then its parts."""
    kind = draw(st.sampled_from(["leaf", "binary", "unary", "call", "select"])) if depth else "leaf"
    below = trees(depth=depth - 1)
    if kind == "leaf":
        number = st.sampled_from(["0", "1", "2", "0.5", "3.25", "1e3", "_pi"])
        return ("leaf", draw(st.sampled_from(NAMES) | number))
    if kind == "binary":
        return ("binary", draw(st.sampled_from(sorted(LEVEL))), draw(below), draw(below))
    if kind == "unary":
        return ("unary", draw(st.sampled_from("-+!")), draw(below))
    if kind == "select":
        return ("select", draw(below), draw(below), draw(below))
    name = draw(st.sampled_from(sorted(FUNCTIONS | VARIADIC)))
    if name in PAIRS:
        return ("call", name, *(("leaf", draw(st.sampled_from(NAMES))) for _ in range(2)))
    count = draw(st.integers(2, 4)) if name in VARIADIC else FUNCTIONS[name][1]
    return ("call", name, *(draw(below) for _ in range(count)))


def written(tree, outside=0, sparing=True):
    """The tree as text: with as few parentheses as the precedences allow, or around everything."""
    kind, *parts = tree
    if kind == "leaf":
        return parts[0]
    if kind == "call":
        return f"{parts[0]}({', '.join(written(part, 0, sparing) for part in parts[1:])})"
    if kind == "select":
        level = 0
        text = " : ".join(
            [
                f"{written(parts[0], 1, sparing)} ? {written(parts[1], 0, sparing)}",
                written(parts[2], 0, sparing),
            ]
        )
    elif kind == "unary":
        level = 8
        text = f"{parts[0]} {written(parts[1], 8, sparing)}"
    else:
        sign, left, right = parts
        level = LEVEL[sign]
        # What binds like the operator itself needs none on the side it groups from; a sign needs none behind ^.
        text = f"{written(left, level + (sign == '^'), sparing)} {sign} " + (
            written(right, 8, sparing) if sign == "^" else written(right, level + 1, sparing)
        )
    return text if sparing and level >= outside else f"({text})"


def columns_of(seed, elements, several):
    """Numbers of all kinds, a tenth of the cells empty; with `several` up to 3 values a cell."""
    random = np.random.default_rng(seed)
    special = np.array([0, -0.0, 1, -1, 2, 0.5, -2.5, 1e-300, 1e300, 7, NAN, INF, -INF, 2**53 + 2, -(2.0**63)])
    columns = []
    for _ in NAMES:
        pool = np.concatenate([special, random.normal(0, 3, 30), random.integers(-5, 20, 15)])
        common = int(random.integers(1, 4))
        column = []
        for _ in range(elements):
            length = 1 if not several else common if random.random() < 0.8 else int(random.integers(1, 4))
            column.append([] if random.random() < 0.03 else random.choice(pool, length).tolist())
        columns.append(column)
    return columns


CALM = settings(
    max_examples=settings.default.max_examples * 13 // 5, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
FILLS = st.sampled_from([None, None, 0.0, 1.5])


@CALM
@given(trees())
def test_precedences_make_parentheses_needless(tree):
    sparing = compile_expression(written(tree), NAMES)
    full = compile_expression(written(tree, sparing=False), NAMES)
    assert sparing.steps == full.steps


@pytest.mark.parametrize("several", [False, True], ids=["numbers", "vectors"])
def test_compiled_equals_reference(several):
    seen = 0

    @CALM
    @given(trees(), st.integers(0, 2**32), FILLS)
    def check(tree, seed, fill):
        nonlocal seen
        program = compile_expression(written(tree), NAMES)
        columns = columns_of(seed, 40, several)
        assert exactly(compiled(program, columns, fill)) == exactly(meant(program, columns, fill))
        seen += 40

    check()
    assert seen >= 10_000


@CALM
@given(trees(), st.integers(0, 2**32))
def test_folding_changes_no_bit(tree, seed):
    """Constants that come as variables cannot be folded."""
    columns = columns_of(seed, 10, several=True)
    program = compile_expression(written(tree), NAMES)
    constants = [name for name in ("0", "1", "2", "0.5", "3.25", "1e3", "_pi") if f"'{name}'" in repr(tree)]

    def spelled(tree):
        if tree[0] == "leaf" and tree[1] in constants:
            return ("leaf", f"`{tree[1]}`")
        return tuple(spelled(part) if isinstance(part, tuple) else part for part in tree)

    unfolded = compile_expression(written(spelled(tree)), [*NAMES, *constants])
    numbers = [math.pi if name == "_pi" else float(name) for name in constants]
    inputs = [*columns, *([[number]] * 10 for number in numbers)]
    assert exactly(compiled(program, columns)) == exactly(compiled(unfolded, inputs))


@CALM
@given(trees(), st.integers(0, 2**32))
def test_single_runs_keep_what_is_not_finite(tree, seed):
    program = compile_expression(written(tree), NAMES)
    columns = [[cell or [0.0] for cell in column] for column in columns_of(seed, 10, several=False)]
    native = Expression(program.native())
    inputs = [(np.array(column).ravel(), None, None) for column in columns]
    singles = native.run_single(inputs, 10)
    run = compiled(program, columns)
    for single, cell in zip(singles.tolist(), run, strict=True):
        finite = math.isfinite(single) and abs(single) <= float(np.finfo(np.float32).max)
        assert cell == ([single] if finite else None)


@pytest.mark.parametrize("several", [False, True], ids=["numbers", "vectors"])
@pytest.mark.parametrize(
    "text", ["a + b * c - d", "a > b ? max(a, c) : len(d) + sin(a)", "reduce_sum(a * b) + dot(c, c)", "a", "2"]
)
def test_results_do_not_depend_on_the_block(text, several):
    elements = 1700
    columns = columns_of(5, elements, several)
    native = Expression(compile_expression(text, NAMES).native())
    values, ends, unequal = native.run([ragged(column) for column in columns], elements)
    parts = [0, 1, 2, 513, 1024, 1699, elements]
    at, offset, ends_in_parts, misfits = 0, 0, [], []
    for first, last in pairwise(parts):
        piece, piece_ends, found = native.run([ragged(column[first:last]) for column in columns], last - first)
        assert piece.tobytes() == values[at : at + len(piece)].tobytes()
        at += len(piece)
        ends_in_parts += (piece_ends + offset).tolist()
        offset += int(piece_ends[-1])
        misfits += [(element + first, *rest) for element, *rest in found]
    assert ends_in_parts == ends.tolist()
    assert misfits == unequal
    assert at == len(values)


@pytest.mark.parametrize("several", [False, True], ids=["numbers", "vectors"])
def test_operands_may_stand_beside_any_element(several):
    """`at` reads an operand as if its cells had been copied."""
    random = np.random.default_rng(3)
    columns = columns_of(7, 300, several)
    native = Expression(compile_expression("a * b + reduce_max(c) - d", NAMES).native())
    places = [random.integers(0, 300, 1000).astype(np.uint32) for _ in NAMES]
    inputs = [(*ragged(column)[:2], at) for column, at in zip(columns, places, strict=True)]
    copied = [ragged([column[i] for i in at]) for column, at in zip(columns, places, strict=True)]
    for got, expected in zip(native.run(inputs, 1000)[:2], native.run(copied, 1000)[:2], strict=True):
        assert got.tobytes() == expected.tobytes()
    with pytest.raises(IndexError, match="not there"):
        native.run([(*inputs[0][:2], np.full(1000, 300, np.uint32)), *inputs[1:]], 1000)


PIECES = ["a", "b", "(", ")", ",", "?", ":", "+", "-", "*", "/", "^", "!", "&&", "||", "&", "|", "==", "<", "1", "2.5"]
PIECES += ["dot(", "max(", "len(", "sqrt(", "_pi", "`", "zz", "rnd(", "=", "%", " ", "\n", "1e", "e5", "中"]


@settings(max_examples=1500, deadline=None)
@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_any_text_is_a_program_or_an_error(text):
    error = None
    try:
        program = compile_expression(text, ["a", "b"])
    except ExpressionError as caught:
        error = caught
    if error is not None:
        assert 0 <= error.position <= len(text)
        assert "column" in str(error) or not text.strip()
        return
    columns = [[[1.0], [2.0, 3.0]], [[0.5], [4.0, 1.0]]]
    assert exactly(compiled(program, columns)) == exactly(meant(program, columns))


def test_every_operation_of_the_reference_is_compiled_and_reachable():
    names = set(EACH) | set(REDUCE)
    for name in names:
        count = next((n for n in range(1, 5) if _takes(name, n)), 0)
        assert count, name
    reached = {operation for operation, _ in FUNCTIONS.values()} | {operation for operation, _ in VARIADIC.values()}
    signs = {"subtract", "multiply", "divide", "negate", "not", "or", "and", "bit_or", "bit_and"}
    signs |= {"less", "less_equal", "greater", "greater_equal", "equal", "unequal"}
    assert reached | signs == names


def _takes(name, count):
    operands = " ".join(map(str, range(count)))
    program = {"inputs": count, "constants": [], "code": f"{name} {operands}", "result": count}
    try:
        Expression(program)
    except ValueError:
        return False
    return True


def test_the_page_lists_every_function():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "expressions.md").read_text(encoding="utf-8")
    assert [name for name in (*FUNCTIONS, *VARIADIC) if not re.search(rf"`{name}[`(]", page)] == []
