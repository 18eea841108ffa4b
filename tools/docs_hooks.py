"""Tables of the documentation that the code itself knows: a page that says ``<!-- table: statuses -->`` gets it here.

MkDocs calls `on_page_markdown`. Nothing in these tables is written twice, so none of them can grow stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its tables filled in."""
    return re.sub(r"<!-- table: ([a-z -]+) -->", lambda found: TABLES[found[1]](), markdown)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def statuses() -> str:
    """Every outcome of a measurement."""
    from rosse.status import MEANING

    return _table(("status", "meaning"), ((f"`{status.label}`", text) for status, text in MEANING.items()))


def flags() -> str:
    """Every bit of the column `flags`."""
    from rosse.detection.options import MEANING

    rows = ((f"{flag.value}", f"`{flag.name}`", text) for flag, text in MEANING.items())
    return _table(("bit", "name", "meaning"), rows)


def surveys() -> str:
    """Every known survey."""
    from rosse.surveys import SURVEYS

    rows = (
        (f"`{s.name}`", " ".join(s.bands), f"{s.scale:g}", ", ".join(f"{z:g}" for z in dict.fromkeys(s.zeropoint)))
        for s in SURVEYS.values()
    )
    return _table(("name", "bands", "arcsec/pixel", "zero point"), rows)


def source_columns() -> str:
    """Columns of `Detection.table()`."""
    from rosse.detection.columns import source_columns as columns

    return _columns((c.name, c.unit, c.description) for c in columns(("r",), "arcsec") if c.name != "flags")


def fit_columns() -> str:
    """Columns of `Fit.table()` for one Sersic profile."""
    import numpy as np

    import rosse

    y, x = np.indices((33, 33)) - 16.0
    image = 100 * np.exp(-np.hypot(x, y) / 3)
    table = rosse.fit(rosse.Cutouts.from_arrays(image, sigma=np.ones_like(image), scale=0.3)).table()
    listed = (name for name in table.colnames if name != "status")
    return _columns((name, str(table[name].unit or ""), table[name].description) for name in listed)


def shape_columns() -> str:
    """Columns of `Shapes.table()`."""
    import numpy as np

    import rosse

    y, x = np.indices((65, 65)) - 32.0
    image = 100 * np.exp(-np.hypot(x, y) / 3) + np.random.default_rng(1).normal(size=x.shape)
    cutouts = rosse.Cutouts.from_arrays(image, sigma=np.ones_like(image), scale=0.3)
    table = rosse.measure_shapes(cutouts, draws=2).table()
    listed = (name for name in table.colnames if name not in ("status", "id", "ra", "dec"))
    return _columns((name, str(table[name].unit or ""), table[name].description) for name in listed)


def components() -> str:
    """Every component with its parameters."""
    from rosse.light.known import COMPONENTS

    rows = []
    for make in COMPONENTS.values():
        component = make()
        own = [slot for slot in component.slots if slot.unit not in ("flux", "pixel")]
        says = (type(component).__doc__ or "").strip().partition("\n")[0].replace("``", "`")
        rows.append((f"`{type(component).__name__}`", ", ".join(f"`{slot.name}`" for slot in own), says))
    return _table(("component", "parameters", "what it is"), rows)


def sky_columns() -> str:
    """Columns of `Population.table()`."""
    from rosse.sky.columns import COLUMNS

    return _columns((column.name, column.unit or "", column.description) for column in COLUMNS)


def trees() -> str:
    """Every decision tree that comes with rosse."""
    from rosse.tree import read_tree, trees

    known = [read_tree(name) for name in trees()]
    rows = ((f"`{t.name}`", t.title, f"{len(t.questions)}", f"{len(t.columns)}", t.reference) for t in known)
    return _table(("name", "of", "questions", "answers", "source"), rows)


def _columns(columns: Iterable[tuple[str, str, str]]) -> str:
    """Names with their errors on one line: a `sigma_` column says nothing new."""
    known = list(columns)
    errors = {name for name, _, _ in known if name.startswith("sigma_")}
    rows = []
    for name, unit, text in known:
        if name not in errors:
            error = f", `sigma_{name}`" if f"sigma_{name}" in errors else ""
            rows.append((f"`{name}`{error}", unit, text))
    return _table(("column", "unit", "content"), rows)


def commands() -> str:
    """Every command with its arguments and options."""
    import typer.main

    from rosse.cli import app

    group: Any = typer.main.get_command(app)
    return "\n".join(line for name, command in group.commands.items() for line in _command(name, command))


def _command(name: str, command: Any) -> Iterator[str]:
    text, _, examples = (command.help or "").partition("Examples:")
    yield f"## rosse {name}\n\n{text.strip()}\n"
    yield "\n".join(["```sh", *(line.strip() for line in examples.splitlines() if line.strip()), "```", ""])
    yield _table(("argument or option", "what it says"), (_parameter(p) for p in command.params if p.name != "help"))
    yield ""


def _parameter(parameter: Any) -> tuple[str, str]:
    options = [name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("-")]
    names = options or [(parameter.metavar or parameter.name.upper()).strip("[].")]
    return ", ".join(f"`{name}`" for name in names), " ".join((parameter.help or "").split())


TABLES: dict[str, Callable[[], str]] = {
    "statuses": statuses,
    "flags": flags,
    "surveys": surveys,
    "source columns": source_columns,
    "fit columns": fit_columns,
    "shape columns": shape_columns,
    "columns of the virtual sky": sky_columns,
    "commands": commands,
    "components": components,
    "trees": trees,
}
