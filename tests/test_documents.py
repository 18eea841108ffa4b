"""What the documents say is true: their Python and their commands run, every public name and command is documented."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rosse
from document_inputs import write_inputs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MPLBACKEND": "agg", "COLUMNS": "120"}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the documents speak of: a field in three bands, and a folder of cutouts."""
    pytest.importorskip("galsim", reason="the inputs are drawn with GalSim: pip install 'rosse[demo]'")
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def folder(inputs: Path, tmp_path: Path) -> Path:
    """A working directory of one's own with the inputs in it."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    return tmp_path


# --- what is shown runs --------------------------------------------------------------------------------------------


def steps(page: Path) -> Iterator[tuple[str, str]]:
    """Python blocks and `rosse` commands of a page, in its order."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```(python|sh)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        if block[1] == "python":
            yield "python", block[2]
        else:
            lines = block[2].replace("\\\n", " ").splitlines()
            yield from (("sh", line) for line in lines if line.startswith("rosse "))


# Commands run in the same interpreter: starting one for each would take longer than most of them.
RUNNER = """
import json, shlex
from pathlib import Path

if __name__ == "__main__":  # workers of `rosse run` load this file as well
    from rosse.cli import main

    names = {}
    for kind, text in json.loads(Path("steps.json").read_text()):
        if kind == "python":
            exec(compile(text, "page", "exec"), names)
            continue
        try:
            main(shlex.split(text, comments=True)[1:])
        except SystemExit as end:
            assert not end.code, text
"""


@pytest.mark.parametrize("page", [page for page in PAGES if list(steps(page))], ids=lambda page: page.name)
def test_what_a_page_shows_runs(page: Path, folder: Path) -> None:
    """All Python and all commands of a page, one after the other."""
    (folder / "steps.json").write_text(json.dumps(list(steps(page))), encoding="utf-8")
    (folder / "page.py").write_text(RUNNER, encoding="utf-8")
    done = run([sys.executable, "-W", "error", "page.py"], folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    done = run([sys.executable, "-W", "error", str(example)], tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_readme_starts_with_the_two_commands_and_a_picture() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert first is not None
    assert [line.partition("#")[0].strip() for line in first[1].splitlines()] == ["make demo", "make test"]
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(pictures) == 1
    assert text.index("make test") < text.index(pictures[0]) < text.index("```python")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_and_links_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


# --- everything is documented --------------------------------------------------------------------------------------


def test_every_public_name_is_in_the_reference() -> None:
    reference = (ROOT / "docs/api/index.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^(?:::: |      heading: )rosse\.(\w+)$", reference, flags=re.MULTILINE))
    assert shown == set(rosse.__all__) - {"__version__"}


@pytest.mark.parametrize("name", sorted(set(rosse.__all__) - {"__version__", "SURVEYS"}))
def test_every_public_name_has_a_docstring(name: str) -> None:
    text = (getattr(rosse, name).__doc__ or "").strip()
    assert text.split("\n")[0].rstrip().endswith((".", "``", ":")), text[:80]


def commands() -> list[str]:
    import typer.main

    from rosse.cli import app

    return sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", commands())
def test_every_command_has_an_example_and_a_place_in_the_documents(command: str) -> None:
    shown = run([sys.executable, "-m", "rosse", command, "--help"], ROOT).stdout
    assert re.search(rf"Examples?.*rosse {command}\b", shown, flags=re.DOTALL), shown
    prose = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert re.search(rf"(^|`)rosse {command}\b", prose, flags=re.MULTILINE)


def test_the_design_page_draws_every_room() -> None:
    from test_layers import FLOOR_OF, files, room_of

    text = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    drawing = re.search(r"^src/rosse/\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert drawing is not None
    drawn = {
        name: int(line.split()[-1]) for line in drawing[1].splitlines() for name in re.findall(r"\w+(?=\.py|/)", line)
    }
    there = {room_of(path) for path in files()} - {"__main__"}
    assert drawn == {room: FLOOR_OF[room] for room in there}


# --- what has no place in the repository ---------------------------------------------------------------------------

# Spelt in two halves, so that this file is not found itself.
FORBIDDEN = tuple(
    a + b
    for a, b in (
        ("/wor", "k/"),
        ("/tmp", "/w/"),
        ("/roo", "t/"),
        ("/hom", "e/"),
        ("pypi", ".org"),
        ("files.python", "hosted"),
        ("download.py", "torch"),
        ("conda.", "anaconda"),
        ("extra-", "index-url"),
    )
)


WEIGHTS = ".safetensors"


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: there is no list of the repository's files")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_private_paths_and_no_package_hosts() -> None:
    found = []
    for path in tracked():
        if path.suffix not in {".png", ".fits", ".jpg", ".gz", ".parquet", WEIGHTS}:
            text = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(ROOT)}: {word}" for word in FORBIDDEN if word in text]
    assert not found


def test_no_large_files() -> None:
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked()}
    most = {name: 10_000_000 if name.endswith(WEIGHTS) else 1_500_000 for name in sizes}  # a small model comes along
    assert {name: size for name, size in sizes.items() if size > most[name]} == {}
