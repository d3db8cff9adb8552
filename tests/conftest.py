"""What holds for every test."""

import subprocess
import sys
import zlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from easyrec.processors import wait_asleep

wait_asleep()  # before a test module loads torch: workers share two processors

# A shared machine is slow at times; the same examples every time make a failure one that can be repeated.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")

ROOT = Path(__file__).parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Contract tests of the big families run for changed members and a tenth of the others, by the day.

    A test marked `family("easyrec.models")` names its member by the parameter `name`; the other members' are slow.
    """
    for item in items:
        marker = item.get_closest_marker("family")
        name = item.callspec.params.get("name") if marker and hasattr(item, "callspec") else None
        if name is not None and not (_is_todays(name) or _has_changed(marker.args[0], name)):
            item.add_marker(pytest.mark.slow)


def _is_todays(name):
    return zlib.crc32(name.encode()) % 10 == datetime.now(UTC).timetuple().tm_yday % 10


@cache
def _changed():
    """Files that the last commit or the working tree changes, as far as git tells."""
    found = set()
    for arguments in (["diff", "--name-only", "HEAD~1"], ["ls-files", "--others", "--exclude-standard"]):
        told = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        found.update(told.stdout.split() if told.returncode == 0 else [])
    return found


def _has_changed(family, name):
    return f"{family.replace('.', '/')}/{name}.py" in _changed()


# ------------------------------------------------------------------- a second device, made of the processor


@pytest.fixture
def other_device(monkeypatch):
    """A device beside the CPU: a GPU, or where there is none one that computes on the CPU, and takes no tensors of the CPU.

    The tensors of the latter say that they are on `meta`, which has no kernels of its own to be taken for these.
    """
    import torch
    from torch.utils import _foreach_utils
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves, tree_map

    if torch.cuda.is_available():
        yield torch.device("cuda")
        return
    there = torch.device("meta")

    class There(torch.Tensor):
        @staticmethod
        def __new__(cls, inner):
            like = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
            made = torch.Tensor._make_wrapper_subclass(cls, inner.size(), device=there, **like)
            made.inner = inner
            return made

        is_meta = False  # it holds values

        def tolist(self):
            return self.inner.tolist()

        @classmethod
        def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
            return carry_out(operator, args, kwargs or {})

    def carry_out(operator, args, kwargs):
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        known = {id(x.inner): x for x in tensors if isinstance(x, There)}
        name, wanted = operator.overloadpacket.__name__, kwargs.get("device")
        if known and name not in ("_to_copy", "copy_"):
            strange = [tuple(x.shape) for x in tensors if not isinstance(x, There) and x.dim()]
            if strange:
                raise RuntimeError(f"{name}: beside tensors of the other device are some of the CPU: {strange}")
        if name == "copy_":
            goes = isinstance(args[0], There)
        else:
            goes = bool(known) if wanted is None else torch.device(wanted) == there
        if wanted is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        args, kwargs = tree_map(lambda x: x.inner if isinstance(x, There) else x, (args, kwargs))

        def given(x):
            if not isinstance(x, torch.Tensor) or not goes:
                return x
            return known[id(x)] if id(x) in known else There(x)

        return tree_map(given, operator(*args, **kwargs))

    class Carries(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            return carry_out(operator, args, kwargs or {})

    supported = [*_foreach_utils._get_fused_kernels_supported_devices(), there.type]

    class Autocast(torch.autocast):
        def __init__(self, device, *args, **kwargs):
            super().__init__("cpu" if device == there.type else device, *args, **kwargs)

    enabled, made_of = torch.is_autocast_enabled, torch.tensor

    def tensor(values, *, device=None, **kwargs):
        return made_of(values, **kwargs) if device is None else made_of(values, **kwargs).to(device)

    monkeypatch.setattr("torch.autocast", Autocast)
    monkeypatch.setattr("torch.is_autocast_enabled", lambda kind="cuda": enabled("cpu" if kind == there.type else kind))
    monkeypatch.setattr("torch.tensor", tensor)
    optimizers = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(optimizers, "_get_fused_kernels_supported_devices", lambda: supported)
    with Carries():
        yield there
