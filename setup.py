"""Build: four packages listed explicitly, C++ kernels by setuptools and pybind11, no CMake."""

from __future__ import annotations

import copy
import os
import platform
import runpy
from glob import glob
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import OptionError

PACKAGES = ("feature_generator", "easyrec", "serving", "rag")
WITH_KERNELS = ("feature_generator", "easyrec.embedding", "easyrec.export", "easyrec.modules", "easyrec.statistics")

# One binary per instruction set; `native.py` picks the best that the processor has.
LEVELS: dict[str, list[str]] = {"": []}
if platform.machine() in {"x86_64", "AMD64"}:
    LEVELS = {
        "": ["-march=x86-64-v2"],
        "_v3": ["-march=x86-64-v3"],
        "_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }


def together(package: str, paths: list[str]) -> str:
    """A source that includes others: to read pybind11's headers takes most of the time that bindings do."""
    text = "".join(f'#include "{Path(path).name}"\n' for path in paths)
    made = Path(f"build/together/{package}.cpp")
    made.parent.mkdir(parents=True, exist_ok=True)
    if not made.exists() or made.read_text() != text:
        made.write_text(text)
    return str(made)


def native(package: str, name: str, levels: dict[str, list[str]] = LEVELS) -> list[Pybind11Extension]:
    """The extension `<package>.<name>` from all sources of `<package>/cpp`, once per instruction set."""
    folder = f"{package.replace('.', '/')}/cpp"
    every = sorted(glob(f"{folder}/**/*.cpp", recursive=True))
    if not every:
        return []
    bindings = [path for path in every if Path(path).name.startswith(("bind", "module"))]
    sources = [path for path in every if path not in bindings] + [together(package, bindings)]
    return [
        Pybind11Extension(
            f"{package}.{name}{suffix}",
            sources,
            depends=[*bindings, *sorted(glob(f"{folder}/**/*.h", recursive=True))],
            include_dirs=[folder],
            define_macros=[("NATIVE_MODULE", f"{name}{suffix}")],
            cxx_std=17,
            # Contraction would make the same sum differ between instruction sets.
            extra_compile_args=[
                "-O3",
                "-g0",
                "-pthread",
                "-ffp-contract=off",
                "-fno-math-errno",
                "-Wall",
                "-Wextra",
                *flags,
            ],
            extra_link_args=["-pthread"],
        )
        for suffix, flags in levels.items()
    ]


def host_level() -> str:
    """The level that `native.py` picks on this machine."""
    processor = runpy.run_path("feature_generator/processor.py")
    return next(level for level in processor["builds"]() if level in LEVELS)


SANITIZED = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


class BuildKernels(build_ext):
    """`build_ext` over all cores.

    `--only PACKAGE` rebuilds the kernels of one top-level package; `--host` builds the one instruction set that this
    processor runs best; `--sanitize` builds the plainest one, with AddressSanitizer and UBSan. An editable install
    builds into the source tree, `--host`, and only what changed.
    """

    user_options = [
        *build_ext.user_options,
        ("only=", None, "build the kernels of this top-level package alone"),
        ("host", None, "build the instruction set of this processor alone"),
        ("sanitize", None, "build with AddressSanitizer and UBSan"),
    ]
    boolean_options = [*build_ext.boolean_options, "host", "sanitize"]

    def initialize_options(self) -> None:
        super().initialize_options()
        self.only: str | None = None
        self.host = False
        self.sanitize = False

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        if self.only is not None:
            known = dict.fromkeys(package.split(".")[0] for package in WITH_KERNELS)
            if self.only not in known:
                raise OptionError(f"--only takes a package with kernels, {' or '.join(known)}, not '{self.only}'")
            self.extensions = [e for e in self.extensions if e.name.split(".")[0] == self.only]
        if self.host:
            self._keep(host_level())
        if self.sanitize:
            self._keep("")
            for extension in self.extensions:
                kept = [flag for flag in extension.extra_compile_args if flag not in {"-O3", "-g0"}]
                extension.extra_compile_args = [*kept, *SANITIZED]
                extension.extra_link_args = [*extension.extra_link_args, "-fsanitize=address,undefined"]

    def _keep(self, level: str) -> None:
        self.extensions = [e for e in self.extensions if e.name.endswith(f"_native{level}")]

    def build_extension(self, ext: Pybind11Extension) -> None:
        # Builds of the same sources run side by side: with one folder of objects they would link each other's.
        own = copy.copy(self)
        own.build_temp = os.path.join(self.build_temp, ext.name)
        super(BuildKernels, own).build_extension(ext)

    def run(self) -> None:
        if self.editable_mode:
            self._keep(host_level())
            # setuptools would build everything anew in a temporary folder and copy it; its own base does not.
            self.inplace, self.build_temp = True, "build/editable"
            super(build_ext, self).run()
        else:
            super().run()


setup(
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    ext_modules=[e for package in WITH_KERNELS for e in native(package, "_native")],
    cmdclass={"build_ext": BuildKernels},
)
