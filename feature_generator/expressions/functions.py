"""What the functions and operators compute, on Python floats: the specification of the compiled kernels.

Numbers are IEEE doubles. Where the C library has the function (`sin`, `exp`, `pow` ..) both sides call it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

EARTH_RADIUS_KM = 6371.0

Vector = Sequence[float]


def _total(function: Callable[..., float], pole: Callable[..., float] | None = None) -> Callable[..., float]:
    """`function` of `math` with the results of C where Python raises: nan, or an infinity at a pole or overflow."""

    def total(*x: float) -> float:
        try:
            return function(*x)
        except ValueError:
            return math.nan if pole is None else pole(*x)
        except OverflowError:
            # exp and cosh have no negative side; sinh keeps its sign, a power that of its base where it is odd.
            return math.inf if function in {math.exp, math.cosh} else _signed_infinity(*x)

    return total


def _signed_infinity(x: float, y: float = 1.0) -> float:
    return -math.inf if x < 0 and math.fmod(y, 2.0) in {1.0, -1.0} else math.inf


def _log_pole(x: float) -> float:
    return -math.inf if x == 0 else math.nan


def _atanh_pole(x: float) -> float:
    return math.copysign(math.inf, x) if abs(x) == 1 else math.nan


def _power_pole(x: float, y: float) -> float:
    if x != 0:
        return math.nan
    odd = math.fmod(y, 2.0) == -1.0
    return math.copysign(math.inf, x) if odd else math.inf


sqrt = _total(math.sqrt)
exp = _total(math.exp)
sin = _total(math.sin)
cos = _total(math.cos)
asin = _total(math.asin)
power = _total(math.pow, _power_pole)


def divide(a: float, b: float) -> float:
    """A / b, with 0/0 = nan and x/0 infinite."""
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return a / b


def bits(a: float, b: float, both: bool) -> float:
    """`a & b` or `a | b` of the operands cut to 64-bit integers; nan where one does not fit."""
    if not (-(2.0**63) <= a < 2.0**63 and -(2.0**63) <= b < 2.0**63):
        return math.nan
    return float(int(a) & int(b) if both else int(a) | int(b))


def smaller(a: float, b: float) -> float:
    """The smaller one; nan where one is."""
    return a if a < b or math.isnan(a) else b


def larger(a: float, b: float) -> float:
    """The larger one; nan where one is."""
    return a if a > b or math.isnan(a) else b


def sign(x: float) -> float:
    """-1, 0 or 1; nan stays."""
    return 1.0 if x > 0 else -1.0 if x < 0 else x if math.isnan(x) else 0.0


def _whole(rule: Callable[[float], float]) -> Callable[[float], float]:
    """`rule` for finite numbers; keeps the sign of zero, as C does."""

    def whole(x: float) -> float:
        return math.copysign(float(rule(x)), x) if math.isfinite(x) else x

    return whole


floor, ceil, trunc, rint = _whole(math.floor), _whole(math.ceil), _whole(math.trunc), _whole(round)
"""`rint` takes halves to the even neighbour."""


@_whole
def nearest_whole(x: float) -> float:
    """Halves go away from zero."""
    below = math.floor(abs(x))
    return below + 1 if abs(x) - below >= 0.5 else below


def rounded(x: float, digits: float) -> float:
    """`x` to so many decimals (negative: tens, hundreds ..): round(x * 10^digits) / 10^digits."""
    if math.isnan(digits) or math.isnan(x):
        return math.nan
    whole = trunc(digits)
    if whole > 308:
        return x
    if whole < -308:
        return math.copysign(0.0, x)
    scale = power(10.0, abs(whole))
    if whole < 0:
        return nearest_whole(x / scale) * scale
    scaled = x * scale
    return nearest_whole(scaled) / scale if math.isfinite(scaled) else x


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + exp(-x))


def haversine(lng1: float, lat1: float, lng2: float, lat2: float) -> float:
    """Great-circle distance in km between two points in degrees, on a sphere of radius 6371 km."""
    degree = math.pi / 180.0
    y = sin((lat2 - lat1) * degree * 0.5)
    x = sin((lng2 - lng1) * degree * 0.5)
    root = sqrt(y * y + cos(lat1 * degree) * cos(lat2 * degree) * (x * x))
    return 2.0 * EARTH_RADIUS_KM * asin(1.0 if root > 1.0 else root)


def _truth(value: bool) -> float:
    return 1.0 if value else 0.0


EACH: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": divide,
    "power": power,
    "negate": lambda a: -a,
    "not": lambda a: _truth(a == 0),
    "or": lambda a, b: _truth(a != 0 or b != 0),
    "and": lambda a, b: _truth(a != 0 and b != 0),
    "bit_or": lambda a, b: bits(a, b, both=False),
    "bit_and": lambda a, b: bits(a, b, both=True),
    "less": lambda a, b: _truth(a < b),
    "less_equal": lambda a, b: _truth(a <= b),
    "greater": lambda a, b: _truth(a > b),
    "greater_equal": lambda a, b: _truth(a >= b),
    "equal": lambda a, b: _truth(a == b),
    "unequal": lambda a, b: _truth(a != b),
    "min": smaller,
    "max": larger,
    "isnan": lambda x: _truth(math.isnan(x)),
    "sin": sin,
    "cos": cos,
    "tan": _total(math.tan),
    "asin": asin,
    "acos": _total(math.acos),
    "atan": math.atan,
    "sinh": _total(math.sinh),
    "cosh": _total(math.cosh),
    "tanh": math.tanh,
    "asinh": math.asinh,
    "acosh": _total(math.acosh),
    "atanh": _total(math.atanh, _atanh_pole),
    "log2": _total(math.log2, _log_pole),
    "log10": _total(math.log10, _log_pole),
    "ln": _total(math.log, _log_pole),
    "exp": exp,
    "sqrt": sqrt,
    "sign": sign,
    "abs": abs,
    "rint": rint,
    "floor": floor,
    "ceil": ceil,
    "trunc": trunc,
    "round": nearest_whole,
    "roundp": rounded,
    "mod": _total(math.fmod),
    "sigmoid": sigmoid,
    "haversine": haversine,
}
"""Operations on numbers; on vectors they work place by place."""


def total(v: Vector) -> float:
    """Sum from the first to the last."""
    result = 0.0
    for x in v:
        result += x
    return result


def product(v: Vector) -> float:
    """Product from the first to the last."""
    result = 1.0
    for x in v:
        result *= x
    return result


def dot(v: Vector, w: Vector) -> float:
    """Sum of the products."""
    return total([a * b for a, b in zip(v, w, strict=True)])


def spread(v: Vector) -> float:
    """Sum of the squared distances from the mean."""
    mean = total(v) / len(v)
    return total([(x - mean) * (x - mean) for x in v])


def euclid_dist(v: Vector, w: Vector) -> float:
    """Length of v - w."""
    return sqrt(total([(a - b) * (a - b) for a, b in zip(v, w, strict=True)]))


def corr(v: Vector, w: Vector) -> float:
    """Pearson's correlation; nan where one vector is constant."""
    mean_v, mean_w = total(v) / len(v), total(w) / len(w)
    together = total([(a - mean_v) * (b - mean_w) for a, b in zip(v, w, strict=True)])
    return divide(together, sqrt(spread(v)) * sqrt(spread(w)))


def _fold(function: Callable[[float, float], float], v: Vector) -> float:
    result = v[0]
    for x in v[1:]:
        result = function(result, x)
    return result


REDUCE: dict[str, Callable[..., float]] = {
    "len": lambda v: float(len(v)),
    "l2_norm": lambda v: sqrt(dot(v, v)),
    "squared_norm": lambda v: dot(v, v),
    "dot": dot,
    "euclid_dist": euclid_dist,
    "corr": corr,
    "variance": lambda v: spread(v) / len(v),
    "std_dev": lambda v: sqrt(spread(v) / len(v)),
    "pop_variance": lambda v: divide(spread(v), len(v) - 1.0),
    "pop_std_dev": lambda v: sqrt(divide(spread(v), len(v) - 1.0)),
    "reduce_min": lambda v: _fold(smaller, v),
    "reduce_max": lambda v: _fold(larger, v),
    "reduce_sum": total,
    "reduce_mean": lambda v: total(v) / len(v),
    "reduce_prod": product,
}
"""Operations on whole vectors, which give one number."""

_OF_ONE = (
    "isnan sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh log2 log10 ln exp sqrt sign abs rint floor ceil "
    "trunc round sigmoid len l2_norm squared_norm std_dev variance pop_std_dev pop_variance reduce_min reduce_max "
    "reduce_sum reduce_mean reduce_prod"
)
FUNCTIONS: dict[str, tuple[str, int]] = {name: (name, 1) for name in _OF_ONE.split()} | {
    "log": ("ln", 1),
    "roundp": ("roundp", 2),
    "mod": ("mod", 2),
    "pow": ("power", 2),
    "dot": ("dot", 2),
    "euclid_dist": ("euclid_dist", 2),
    "corr": ("corr", 2),
    "sphere_dist": ("haversine", 4),
    "haversine": ("haversine", 4),
    "spherical_distance": ("haversine", 4),
}
"""Function of the language -> its operation and how many arguments it takes."""

VARIADIC: dict[str, tuple[str, str]] = {
    "min": ("min", "reduce_min"),
    "max": ("max", "reduce_max"),
    "sum": ("add", "reduce_sum"),
    "avg": ("add", "reduce_mean"),
}
"""Functions of two or more arguments: the operation on pairs, and the function that does so over one vector."""

CONSTANTS = {"_pi": math.pi, "_e": math.e}
