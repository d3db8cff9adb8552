"""What holds for every test."""

import subprocess
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
