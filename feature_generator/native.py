"""The compiled kernels, in the best build that this processor runs."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any

from feature_generator.processor import builds


def load_native(package: str, name: str = "_native") -> ModuleType:
    """The module `<package>.<name>` built for the widest instruction set that the processor has.

    Raises:
        ImportError: No build is there.
    """
    for suffix in builds():
        if importlib.util.find_spec(f"{package}.{name}{suffix}") is not None:
            return importlib.import_module(f"{package}.{name}{suffix}")
    raise ImportError(
        f"the compiled kernels of {package} are missing; build them with: python setup.py build_ext --inplace"
    )


_native: Any = load_native("feature_generator")

Plan = _native.Plan
load_operators = _native.load_operators
check_operator = _native.check_operator
murmur64a = _native.murmur64a
fingerprint64 = _native.fingerprint64
take_rows = _native.take_rows
take_offsets = _native.take_offsets
take_items = _native.take_items
Expression = _native.Expression
read_rows = _native.read_rows
read_lists = _native.read_lists
read_json_rows = _native.read_json_rows
distinct_keys = _native.distinct_keys
count_keys = _native.count_keys
scan_json = _native.scan_json
FlatBatch = _native.FlatBatch
FlatLayout = _native.FlatLayout
Census = _native.Census
row_prints = _native.row_prints
key_prints = _native.key_prints
plain_print = _native.plain_print
Clock = _native.Clock
