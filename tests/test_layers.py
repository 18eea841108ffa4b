"""The house stands: rooms import downwards only, torch stays where it belongs, files and functions stay small.

`FLOORS` is the one table of rooms; `docs/design.md` draws it for people and `tests/test_documents.py` compares the two.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

import rosse

PACKAGE = Path(rosse.__file__).parent

# Lowest first. The files of the ground floor are one room; above it every name is a room of its own.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "surveys", "cutouts", "status", "tables", "tree"),
    ("light", "io", "store", "nets"),
    ("sky",),
    ("detection", "fitting", "shapes", "votes", "latent", "transfer", "restoration", "parts"),
    ("pipeline",),
    ("app", "demo"),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# `import rosse` reaches every public name: only the floors above all of them may say it.
PUBLIC_FLOOR = max(FLOOR_OF[module.split(".")[1]] for module in rosse._PUBLIC.values())

TORCH_ROOMS = {"cutouts", "light", "sky", "fitting", "shapes", "nets", "votes", "latent", "transfer"}
TORCH_ROOMS |= {"restoration", "parts"}
NEVER_TORCH = {"store", "app"}
HEAVY = {"torch", "astropy", "sep", "matplotlib", "pandas", "scipy", "ray", "galsim"}  # not needed to print a help text

# Length habits; whoever goes beyond one says why here.
MAX_FILE, MAX_FUNCTION, TYPICAL_FUNCTION, MAX_POSITIONAL, MAX_METHODS = 400, 60, 25, 5, 12
EXCEPTIONS: dict[str, str] = {  # "file.py", "file.py::function" or "file.py::Class" → reason
    "light/radial.py::_cubic": "the six numbers of a Hermite cubic, in the order in which it is written",
}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One import statement, as a dotted module name; `at_top` where it runs when the module is loaded."""

    source: Path
    line: int
    target: str
    at_top: bool

    @property
    def where(self) -> str:
        return f"{self.source.relative_to(PACKAGE)}:{self.line} imports {self.target}"


def files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in _run_on_load(tree)}
    version_only = {node.attr for node in ast.walk(tree) if _is_attribute_of(node, "rosse")} <= {"__version__"}
    for node in ast.walk(tree):
        for target in _targets(node, path):
            if target == "rosse" and version_only:
                continue
            yield Import(source=path, line=getattr(node, "lineno", 0), target=target, at_top=id(node) in top)


def _is_attribute_of(node: ast.AST, name: str) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name


def _run_on_load(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes outside functions and outside ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _run_on_load(node)


def _targets(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = ("rosse", *path.relative_to(PACKAGE).parts[: -node.level])
            base = ".".join((*package, base)).rstrip(".")
        if base == "rosse":
            yield from (_PUBLIC_MODULES.get(alias.name, f"rosse.{alias.name}") for alias in node.names)
        else:
            yield base
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "require"}:
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


_PUBLIC_MODULES: dict[str, str] = {**rosse._PUBLIC, "__version__": "rosse.errors"}  # as low as the ground


def own_room(target: str) -> str | None:
    """Room that an import leads to; None for other packages, ``"rosse"`` for the package as a whole."""
    parts = target.split(".")
    return None if parts[0] != "rosse" else parts[1] if len(parts) > 1 else "rosse"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in files()}
    assert rooms <= set(FLOOR_OF), "a new room needs its floor in FLOORS and its line in docs/design.md"


def test_rooms_look_down_only() -> None:
    broken = []
    for path in files():
        here = room_of(path)
        for found in imports_of(path):
            there = own_room(found.target)
            if there is None or there == here:
                continue
            ground = FLOOR_OF[here] == 0 and FLOOR_OF.get(there) == 0
            floor = PUBLIC_FLOOR if there == "rosse" else FLOOR_OF.get(there, len(FLOORS))
            if not ground and floor >= FLOOR_OF[here]:
                broken.append(found.where)
    assert not broken, "\n".join(broken)


def test_torch_is_loaded_by_rooms_that_compute_only() -> None:
    broken = []
    for path in files():
        here = room_of(path)
        for found in imports_of(path):
            uses = found.target.split(".")[0] == "torch" or own_room(found.target) in TORCH_ROOMS
            if uses and ((found.at_top and here not in TORCH_ROOMS) or here in NEVER_TORCH):
                broken.append(found.where)
    assert not broken, "\n".join(broken)


def test_the_layer_test_sees_a_broken_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that cannot fail proves nothing: every way of importing upwards is seen."""
    source = tmp_path / "store" / "bad.py"
    source.parent.mkdir()
    source.write_text(
        "from rosse import fit\nfrom rosse.cli import main\nfrom ..pipeline import run\nimport rosse.io.fits\n"
        "def f():\n    import torch\n    require('rosse.demo', extra='demo')\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    found = list(imports_of(source))
    assert [own_room(each.target) for each in found] == ["fitting", "cli", "pipeline", "io", None, "demo"]
    assert [each.at_top for each in found] == [True, True, True, True, False, False]
    for test in (test_rooms_look_down_only, test_torch_is_loaded_by_rooms_that_compute_only):
        with pytest.raises(AssertionError, match=r"bad\.py"):
            test()


def loaded_after(code: str) -> set[str]:
    """Packages that are in memory after `code` ran in a new interpreter."""
    report = f"{code}\nimport sys\nprint('LOADED', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("module", ["rosse", "rosse.store", "rosse.io", "rosse.tables", "rosse.surveys"])
def test_import_leaves_torch_alone(module: str) -> None:
    assert "torch" not in loaded_after(f"import {module}")


def test_help_loads_nothing_heavy() -> None:
    code = "import contextlib\nfrom rosse.cli import main\nwith contextlib.suppress(SystemExit):\n    main(['--help'])"
    assert not HEAVY & loaded_after(code)


def test_help_takes_less_than_a_second() -> None:
    code = (
        "import time\nfrom rosse.cli import main\ntry:\n    main(['--help'])\nfinally:\n    print(time.process_time())"
    )
    # processor time, and the best of three: neighbours on a busy machine do not count
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False) for _ in range(3)]
    assert min(float(run.stdout.split()[-1]) for run in runs) < 1


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(PACKAGE)}::{node.name}", node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring: those are asked to be complete, not short."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    doc = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - doc


def test_files_and_functions_are_small() -> None:
    long_files = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in files()}
    found = {name: f"{lines} lines" for name, lines in long_files.items() if lines > MAX_FILE}
    lengths = {name: length(node) for path in files() for name, node in functions(path)}
    found |= {name: f"{lines} lines" for name, lines in lengths.items() if lines > MAX_FUNCTION}
    assert {name: why for name, why in found.items() if name not in EXCEPTIONS} == {}
    assert sorted(lengths.values())[int(0.9 * len(lengths))] <= TYPICAL_FUNCTION


def test_few_positional_parameters() -> None:
    found = {}
    for path in files():
        for name, node in functions(path):
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args) if arg.arg not in {"self", "cls"}]
            # a typer command's parameters are options of the command line, whatever Python calls them
            if len(names) > MAX_POSITIONAL and room_of(path) != "cli" and name not in EXCEPTIONS:
                found[name] = names
    assert not found, "\n".join(f"{name}: {what}" for name, what in found.items())


def test_classes_have_few_public_methods() -> None:
    found = {}
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                methods = [m.name for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]
                if len(methods) > MAX_METHODS and f"{path.relative_to(PACKAGE)}::{node.name}" not in EXCEPTIONS:
                    found[node.name] = methods
    assert not found, "\n".join(f"{name}: {what}" for name, what in found.items())
