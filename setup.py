"""Build: four packages listed explicitly, C++ kernels by setuptools and pybind11, no CMake."""

from __future__ import annotations

import copy
import os
import platform
import runpy
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import OptionError
from setuptools.modified import newer_group

PACKAGES = ("feature_generator", "easyrec", "serving", "rag")
WITH_KERNELS = (
    "feature_generator",
    "easyrec.embedding",
    "easyrec.export",
    "easyrec.modules",
    "easyrec.statistics",
    "easyrec.store",
)
# Sources of the ground floor that others build in.
SHARED = {"easyrec.store": ["feature_generator/cpp/arrow_column.cpp"]}

# One binary per instruction set; `native.py` picks the best that the processor has.
LEVELS: dict[str, list[str]] = {"": []}
if platform.machine() in {"x86_64", "AMD64"}:
    LEVELS = {
        "": ["-march=x86-64-v2"],
        "_v3": ["-march=x86-64-v3"],
        "_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }
BASE = {"": LEVELS[""]}


def levels_of(package: str) -> dict[str, list[str]]:
    """What a package is built for: the codec of the store copies bytes, which no instruction set does better."""
    return BASE if package == "easyrec.store" else LEVELS


def written(path: str, text: str) -> str:
    """A source that the build makes; it is written only where it changes."""
    made = Path(f"build/together/{path}")
    made.parent.mkdir(parents=True, exist_ok=True)
    if not made.exists() or made.read_text() != text:
        made.write_text(text)
    return str(made)


def together(package: str, paths: list[str]) -> str:
    """A source that includes others: to read pybind11's headers takes most of the time that bindings do."""
    return written(f"{package}.cpp", "".join(f'#include "{Path(path).name}"\n' for path in paths))


def alias(package: str, name: str, suffix: str) -> str:
    """A source that lets the module `<name>` be imported as `<name><suffix>`."""
    text = f"""#include <Python.h>
extern "C" PyObject* PyInit_{name}();
PyMODINIT_FUNC PyInit_{name}{suffix}() {{ return PyInit_{name}(); }}
"""
    return written(f"{package}{suffix}.cpp", text)


class Kernels(Pybind11Extension):
    """Kernels for one instruction set, and the bindings of their package, which are the same for all.

    Bindings take half of the time that a level takes to compile, and do no arithmetic: they are compiled once, for the
    plainest processor, and linked behind the kernels, so that of an inline function the kernels' form is taken.

    Attributes:
        package: The package that they belong to.
        bindings: The source of the bindings.
    """

    def __init__(self, package: str, name: str, suffix: str, flags: list[str]) -> None:
        folder = f"{package.replace('.', '/')}/cpp"
        every = sorted(glob(f"{folder}/**/*.cpp", recursive=True))
        bound = [path for path in every if Path(path).name.startswith(("bind", "module"))]
        shared = SHARED.get(package, [])
        self.package, self.bindings = package, together(package, bound)
        self._flags = flags
        super().__init__(
            f"{package}.{name}{suffix}",
            [
                *(path for path in every if path not in bound),
                *shared,
                *([alias(package, name, suffix)] if suffix else []),
            ],
            depends=[self.bindings, *bound, *sorted(glob(f"{folder}/**/*.h", recursive=True))],
            include_dirs=[folder, *sorted({str(Path(path).parent) for path in shared})],
            define_macros=[("NATIVE_MODULE", name)],
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

    def bindings_args(self) -> list[str]:
        """The compiler's arguments for the bindings."""
        return [arg for arg in self.extra_compile_args if arg not in self._flags] + LEVELS[""]


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
        one = {package for package in WITH_KERNELS if levels_of(package) is BASE}
        self.extensions = [
            e for e in self.extensions if e.name.endswith(f"_native{level}") or e.name.rpartition(".")[0] in one
        ]

    def build_extensions(self) -> None:
        stale = [e for e in self.extensions if self.force or self._is_old(e)]
        packages = {e.package: e for e in stale}
        with ThreadPoolExecutor(self.parallel) as threads:
            objects = dict(zip(packages, threads.map(self._compile_bindings, packages.values()), strict=True))
        for extension in stale:
            extension.extra_objects = objects[extension.package]
        super().build_extensions()

    def _is_old(self, ext: Kernels) -> bool:
        """Whether it is built anew; setuptools asks the same."""
        return newer_group([*ext.sources, *ext.depends], self.get_ext_fullpath(ext.name), "newer")

    def _compile_bindings(self, ext: Kernels) -> list[str]:
        """The object of the bindings of a package."""
        return self.compiler.compile(
            [ext.bindings],
            output_dir=self.build_temp,
            macros=ext.define_macros,
            include_dirs=ext.include_dirs,
            extra_postargs=ext.bindings_args(),
        )

    def build_extension(self, ext: Kernels) -> None:
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
    ext_modules=[
        Kernels(package, "_native", suffix, flags)
        for package in WITH_KERNELS
        for suffix, flags in levels_of(package).items()
    ],
    cmdclass={"build_ext": BuildKernels},
)
