"""The error tree and the sentences that it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rosse import errors
from rosse.errors import MissingPackageError, require, rows_text, unknown_name

OWN = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]


def test_every_error_is_a_rosse_error_and_drawn_in_the_tree() -> None:
    assert all(issubclass(each, errors.RosseError) for each in OWN)
    assert errors.__doc__ is not None
    assert all(each.__name__ in errors.__doc__ for each in OWN)


def test_errors_are_what_python_calls_them_too() -> None:
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.MissingPackageError, ImportError)
    assert issubclass(errors.FileError, errors.InputError)
    assert issubclass(errors.StorageError, errors.RunError)


def test_require_returns_what_is_there() -> None:
    assert require("json.decoder", extra="demo").JSONDecoder


def test_require_names_the_command() -> None:
    with pytest.raises(MissingPackageError, match=r"nosuchpackage is not installed.*pip install 'rosse\[ray\]'"):
        require("nosuchpackage.inner", extra="ray")


def test_require_does_not_hide_a_broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "halfway.py").write_text("import something_that_it_forgot")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_that_it_forgot") as caught:
        require("halfway", extra="ray")
    assert not isinstance(caught.value, MissingPackageError)
    assert "halfway" not in sys.modules


def test_unknown_name_guesses_or_lists() -> None:
    assert unknown_name("survey", "sds", ["sdss", "hsc"]) == "unknown survey 'sds'; did you mean 'sdss'?"
    assert unknown_name("survey", "xyz", ["sdss", "hsc"]) == "unknown survey 'xyz'; known: hsc, sdss"


def test_rows_text_shortens() -> None:
    assert rows_text([3, 1]) == "rows [3, 1]"
    assert rows_text(range(20), limit=3) == "rows [0, 1, 2, ... 20 in all]"
