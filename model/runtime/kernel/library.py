"""The kernel's C functions: built once by this machine's compiler, kept for this user, called by ctypes.

Owns the building, the place where the library lies, and the mirrors of the structs of `passes.h`. Where there
is no compiler, or the processor lacks the instructions, there is no kernel, and torch's do its work.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import subprocess
import sys
import tempfile
from ctypes import c_float, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path

import torch
from platformdirs import user_cache_path

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("passes.c")
COMPILERS = tuple(
    Path(folder) / name for folder in ("/usr/bin", "/usr/local/bin") for name in ("cc", "gcc", "clang")
)
"""Looked for here and nowhere else: what a project puts on the path is never run."""
FLAGS = (
    *("-std=gnu11", "-O3", "-mavx2", "-mfma", "-mf16c", "-ffp-contract=off"),
    *("-shared", "-fPIC", "-pthread"),
)
"""Products and sums are joined only where the source says so: a row's bits depend on it."""
LONGEST_BUILD_S = 120
CAPABLE = frozenset({"AVX2", "AVX512"})
"""By torch's name for what a processor can do; whoever has these has F16C, too."""


class Matrix(ctypes.Structure):
    """As in `passes.h`."""

    _fields_ = (("n_outputs", c_int64), ("n_inputs", c_int64), ("blocks", c_void_p), ("bias", c_void_p))


class Layer(ctypes.Structure):
    """As in `passes.h`."""

    _fields_ = (
        *((name, c_void_p) for name in ("gain_in", "gain_mid")),
        *((name, Matrix) for name in ("qkv", "out", "gate_up", "down")),
    )


class Model(ctypes.Structure):
    """As in `passes.h`."""

    _fields_ = (
        *((name, c_int64) for name in ("n_layers", "n_heads", "n_kv_heads")),
        *((name, c_int64) for name in ("head_size", "hidden_size", "inner_size")),
        ("floor", c_float),
        ("layers", ctypes.POINTER(Layer)),
    )


class Pass(ctypes.Structure):
    """As in `passes.h`."""

    _fields_ = (
        ("model", ctypes.POINTER(Model)),
        *((name, c_int64) for name in ("n_rows", "begin")),
        *((name, c_void_p) for name in ("rows", "cache", "hidden", "starts", "cos", "sin")),
        ("capacity", c_int64),
        *((name, c_void_p) for name in ("heads", "seen", "inner", "scratch")),
        ("n_scratch", c_int64),
    )


def library() -> ctypes.CDLL | None:
    """The functions, built if they are not yet; None where they cannot be had, which is logged once."""
    found = _found()
    return None if isinstance(found, str) else found


def why_none() -> str | None:
    """None where there is a library, else the reason why not."""
    found = _found()
    return found if isinstance(found, str) else None


@cache
def _found() -> ctypes.CDLL | str:
    reason = why_not_here()
    if reason is None:
        try:
            return _declared(ctypes.CDLL(str(_ours_alone(built(default_folder())))))
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"it could not be built: {_said(error)}"
    log.info("passes run by torch's kernels, not by our own: %s", reason)
    return reason


def why_not_here() -> str | None:
    """None where the kernel can run, else what this machine lacks."""
    if sys.platform == "win32" or platform.machine().lower() not in {"x86_64", "amd64"}:
        return f"it is not made for {sys.platform} on {platform.machine()}"
    if torch.backends.cpu.get_cpu_capability() not in CAPABLE:
        return "this processor lacks AVX2"
    return None


def default_folder() -> Path:
    """Where built libraries are kept for this user."""
    return user_cache_path("hef-lsp", appauthor=False) / "kernels"


def built(folder: Path) -> Path:
    """The library in `folder`, named by its source and flags; compiled in a second or two if it is not there.

    Raises OSError where there is no compiler or no place, `subprocess.SubprocessError` where it fails.
    """
    text = b"".join(path.read_bytes() for path in sorted(SOURCE.parent.glob("*.[ch]")))
    name = hashlib.sha256(text + " ".join(FLAGS).encode()).hexdigest()[:16]
    path = folder / f"passes-{name}.so"
    if path.is_file():
        return path
    compiler = next((path for path in COMPILERS if path.is_file()), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler in /usr/bin or /usr/local/bin; install gcc or clang")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log.info("building the kernel with %s, once", compiler)
    with tempfile.TemporaryDirectory(dir=folder) as made_in:
        _compile(compiler, Path(made_in) / path.name).replace(path)  # two servers may do so at the same time
    return path


def _compile(compiler: Path, made: Path) -> Path:
    """`made`; of the environment the compiler hears nothing."""
    subprocess.run(
        [str(compiler), *FLAGS, "-o", str(made), str(SOURCE), "-lm"],
        check=True,
        capture_output=True,
        timeout=LONGEST_BUILD_S,
        cwd=made.parent,
        env={"PATH": os.defpath, "TMPDIR": str(made.parent), "LC_ALL": "C"},
    )
    made.chmod(0o700)
    return made


def _ours_alone(path: Path) -> Path:
    """`path`, which is run. Raises PermissionError where another user could have written it."""
    for each in (path.parent, path):
        found = each.stat()
        if found.st_uid not in (os.getuid(), 0) or found.st_mode & 0o022:
            raise PermissionError(
                f"others may write to {each}; remove it, or make it yours alone (chmod go-w)"
            )
    return path


def _said(error: Exception) -> str:
    lines = (getattr(error, "stderr", None) or b"").decode("utf-8", "replace").strip().splitlines()
    return f"{error}{f' ({lines[0]})' if lines else ''}"


def _declared(functions: ctypes.CDLL) -> ctypes.CDLL:
    of_pass = ctypes.POINTER(Pass)
    functions.hef_scratch.argtypes, functions.hef_scratch.restype = [of_pass], c_int64
    functions.hef_run_layers.argtypes, functions.hef_run_layers.restype = [of_pass, c_int], None
    functions.hef_multiply.argtypes = [ctypes.POINTER(Matrix), c_void_p, c_int64, c_void_p, c_int]
    functions.hef_multiply.restype = None
    return functions
