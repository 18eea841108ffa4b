"""A catalogue directory, opened: lazy rows that can be filtered, looked at and handed on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rosse.errors import CatalogueError, InputError, OptionError, unknown_name
from rosse.store import layout, query
from rosse.store.export import export
from rosse.store.expressions import check
from rosse.store.publish import BUILDING, READY, recover
from rosse.store.query import Condition
from rosse.store.schema import described_columns
from rosse.tables import Column, to_astropy

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Catalogue:
    """Rows of a catalogue directory, read when asked for; `open_catalogue` makes one.

    Parameters
    ----------
    directory : where it lies.
    provenance : content of its ``run.json``.
    schema : every column of the files, with units and descriptions.
    files : partition files in row order.
    names : columns handed out.
    stamp : tells this catalogue from one that is put in its place.
    conditions : those of every `where` so far.
    """

    directory: Path
    provenance: dict[str, Any]
    schema: pa.Schema
    files: tuple[Path, ...]
    names: tuple[str, ...]
    stamp: tuple[int, int]
    conditions: tuple[Condition, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Name, unit, description and type of each column."""
        return described_columns(self._output)

    def __len__(self) -> int:
        if not self.conditions:
            return int(self.provenance["catalogue"]["rows"])
        return sum(len(rows) for _, rows in self._matches() if rows is not None)

    def where(self, condition: str) -> Catalogue:
        """Rows that meet a condition, e.g. ``"n > 4 and status = 'ok'"``; nothing is read yet.

        Parameters
        ----------
        condition : SQL over the columns: ``= != < > and or not in between like is null``, arithmetic, and functions
            such as ``abs log10 sqrt lower``; ``flags & 2 = 0`` tests bits. Missing values and NaN meet no comparison:
            find them with ``is null``. A second `where` narrows the first.
        """
        return replace(self, conditions=(*self.conditions, check(condition, self.schema)))

    def select(self, names: Sequence[str]) -> Catalogue:
        """Only these columns, in this order."""
        if isinstance(names, str) or not names:
            raise OptionError(f"select takes a list of column names, not {names!r}")
        for name in names:
            if name not in self.schema.names:
                raise InputError(unknown_name("column", name, self.schema.names))
        if len(set(names)) < len(names):
            raise InputError(f"select names a column twice: {list(names)}")
        return replace(self, names=tuple(names))

    def get(self, id: str | int) -> dict[str, Any]:
        """The row with this id: column name → value, None where it is missing."""
        if "id" not in self.schema.names:
            raise CatalogueError(f"catalogue {self.directory} has no column 'id'; find rows with where(...)")
        same = Condition(text=f"id = {id!r}", sql="id = ?", columns=("id",), values=(id,))
        for table in replace(self, conditions=(*self.conditions, same)).partitions():
            return dict(table.to_pylist()[0])
        among = " among the rows where " + " and ".join(c.text for c in self.conditions) if self.conditions else ""
        raise InputError(f"no row with id {id!r} in catalogue {self.directory}{among}")

    def head(self, n: int = 10) -> Table:
        """The first rows, as an astropy table."""
        rows: list[pa.Table] = []
        for table in self.partitions():
            rows.append(table.slice(0, n - sum(map(len, rows))))
            if sum(map(len, rows)) >= n:
                break
        return to_astropy(pa.concat_tables([self._output.empty_table(), *rows]))

    def partitions(self) -> Iterator[pa.Table]:
        """One table per partition file that has rows to give, in order; memory holds one at a time."""
        for file, rows in self._matches():
            if rows is None or len(rows):
                with self._as_opened():
                    table = query.read_rows(file, self.names, rows).cast(self._output)
                if len(table):
                    yield table

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table; each field's metadata hold ``unit`` and ``description``."""
        return pa.concat_tables([self._output.empty_table(), *self.partitions()])

    def to_astropy(self) -> Table:
        """All rows as an astropy table with units; missing values are masked, NaN stays NaN."""
        return to_astropy(self.to_arrow())

    def to_pandas(self) -> pd.DataFrame:
        """All rows as a data frame; units and descriptions are in ``.attrs``.

        Whole numbers and booleans with missing values become pandas' nullable types, since they have no NaN. A
        missing float becomes NaN.
        """
        import pandas as pd

        nullable: dict[pa.DataType, Any] = {pa.bool_(): pd.BooleanDtype()}
        for bits in (8, 16, 32, 64):
            nullable[getattr(pa, f"int{bits}")()] = getattr(pd, f"Int{bits}Dtype")()
            nullable[getattr(pa, f"uint{bits}")()] = getattr(pd, f"UInt{bits}Dtype")()
        table = self.to_arrow()
        frame: pd.DataFrame = table.to_pandas()
        for name, column in zip(table.schema.names, table.columns, strict=True):
            if column.null_count and column.type in nullable:
                frame[name] = column.to_pandas(types_mapper=nullable.get)
        frame.attrs = {
            "units": {column.name: column.unit for column in self.columns},
            "descriptions": {column.name: column.description for column in self.columns},
        }
        return frame

    def export(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write all rows to one file, one partition in memory at a time.

        Parameters
        ----------
        path : its ending is the format: ``.fits``, ``.vot`` or ``.xml`` (VOTable), ``.csv``, ``.parquet``. All but CSV
            keep units and descriptions; FITS has no missing floats (NaN), texts (blank) and letters beyond ASCII.
        overwrite : replace an existing file.
        """
        target = Path(path)
        export(target, self._output, self.partitions, overwrite=overwrite)
        return target

    def __repr__(self) -> str:
        about = self.provenance["catalogue"]
        parts = "1 partition" if about["partitions"] == 1 else f"{about['partitions']} partitions"
        size = f"{about['rows']} rows, {len(self.names)} columns, {parts}"
        lines = [f"Catalogue {self.directory}: {size}"]
        lines += [f"  where {c.text}" for c in self.conditions]
        listed = [f"{column.name} [{column.unit}]" if column.unit else column.name for column in self.columns]
        lines.append("  " + ", ".join(listed[:12]) + (", ..." if len(listed) > 12 else ""))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = escape(repr(self).rpartition("\n")[0]).replace("\n", "<br>")
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in (c.name, c.unit, c.dtype, c.description)) + "</tr>"
            for c in self.columns
        )
        return (
            f"<p>{head}</p><table><tr><th>column</th><th>unit</th><th>type</th><th>description</th></tr>{rows}</table>"
        )

    @property
    def _output(self) -> pa.Schema:
        return pa.schema([self.schema.field(name) for name in self.names])

    def _matches(self) -> Iterator[tuple[Path, NDArray[np.int64] | None]]:
        """Each partition file with the rows in it that meet the conditions, None for all."""
        self._check_unchanged()
        if not self.conditions:
            yield from ((file, None) for file in self.files)
            return
        with closing(query.connect()) as connection:
            for file in self.files:
                with self._as_opened():
                    rows = query.matching_rows(connection, file, self.conditions)
                yield file, rows

    @contextmanager
    def _as_opened(self) -> Iterator[None]:
        """What is read inside is the catalogue that was opened, or an error says why not."""
        try:
            with _reading(self.directory):
                yield
        except CatalogueError:
            self._check_unchanged()
            raise
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        """Rows of a catalogue that took this one's place must not be mixed with its own."""
        if _stamp(self.directory) != self.stamp:
            raise CatalogueError(
                f"catalogue {self.directory} was replaced or removed since it was opened; open it again"
            )


def open_catalogue(directory: str | Path) -> Catalogue:
    """Open a catalogue directory; rows are read when they are asked for.

    Parameters
    ----------
    directory : what `write_catalogue` or a run made.

    Notes
    -----
    Other programs open it as well: ``lsdb.open_catalog(DIR)`` if it has sky positions, ``pandas.read_parquet`` of
    ``DIR/dataset`` (of ``DIR`` itself it cannot, since HATS wants files beside the Parquet ones), DuckDB with ``SELECT
    * FROM 'DIR/dataset/**/*.parquet'``, and astropy and TOPCAT single partition files.
    """
    path = Path(directory).absolute()  # rows are read later, perhaps from another working directory
    while True:
        before = _stamp(path)
        try:
            recover(path)
            opened = _load(path)
        except OSError as err:
            raise CatalogueError(
                f"catalogue {path} was being replaced when its writer died; open it once with write permission ({err})"
            ) from err
        except CatalogueError:
            if _stamp(path) == before and not (path / READY).exists():
                raise
        else:
            if _stamp(path) == opened.stamp:
                return opened  # else it was replaced while it was read


def _load(path: Path) -> Catalogue:
    stamp = _stamp(path)
    provenance = _read_run(path)
    files = tuple(layout.data_files(path))
    lost = [file for file in files if not file.exists()]
    if lost or not files:
        some = lost[0].relative_to(path) if lost else layout.DATASET
        raise CatalogueError(f"catalogue {path} lacks {max(len(lost), 1)} of its files, e.g. {some}; make it again")
    with _reading(path):
        schema = pq.read_schema(path / layout.DATASET / layout.COMMON_METADATA).remove_metadata()
    names = tuple(name for name in schema.names if name != layout.HEALPIX)
    return Catalogue(directory=path, provenance=provenance, schema=schema, files=files, names=names, stamp=stamp)


def _stamp(path: Path) -> tuple[int, int]:
    """Changes whenever the catalogue is replaced."""
    try:
        status = (path / layout.RUN).stat()
    except OSError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)


def _read_run(path: Path) -> dict[str, Any]:
    try:
        run = json.loads((path / layout.RUN).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CatalogueError(f"{path} is not a catalogue: {_found(path)}") from None
    except (OSError, ValueError) as err:
        raise CatalogueError(f"{path / layout.RUN} cannot be read: {err}") from err
    if not isinstance(run, dict) or run.get("format") != layout.FORMAT:
        raise CatalogueError(f"{path} is not a catalogue: its {layout.RUN} was not written by rosse")
    if run["format_version"] > layout.FORMAT_VERSION:
        raise CatalogueError(f"catalogue {path} was written by a newer rosse; update with: pip install -U rosse")
    return run


def _found(path: Path) -> str:
    """What is at a path that holds no catalogue, for a message."""
    if not path.exists():
        return "there is no such directory"
    if not path.is_dir():
        return "it is a file; give the directory that holds run.json"
    names = sorted(item.name for item in path.iterdir())
    if BUILDING in names or READY in names:
        return "its writing is under way or was not finished; if nobody is at it, run the same command again"
    if "hats.properties" in names or "properties" in names:
        return "it is a HATS catalogue of another program; open it with lsdb.open_catalog"
    if not names:
        return "the directory is empty"
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"there is no {layout.RUN}, only {listed}"


@contextmanager
def _reading(directory: Path) -> Iterator[None]:
    """Errors of Parquet and DuckDB as ours."""
    import duckdb

    try:
        yield
    except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as err:
        raise InputError(f"a condition cannot be evaluated: {str(err).partition(chr(10))[0]}") from err
    except (OSError, pa.ArrowInvalid, duckdb.Error) as err:
        raise CatalogueError(f"catalogue {directory} cannot be read: {err}") from err
