from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rosse.errors import FileError, OptionError
from rosse.pipeline import config
from rosse.pipeline.config import of_kind, read_config

Write = Callable[[str], Path]

KNOWN: dict[str, Callable[[Any], Any]] = {
    "steps": of_kind(int),
    "scale": of_kind(float),
    "resume": of_kind(bool),
    "zeropoint": config.numbers,
    "min_pixels": of_kind(int),
    "sigma": config.noise,
    "bands": config.bands,
    "images": of_kind(list),
}


@pytest.fixture
def toml(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def test_values_are_read(toml: Write) -> None:
    lines = ["steps = 3", "scale = 1", "min-pixels = 7", "sigma = 0.1", 'images = "a.fits"', 'bands = ["g", "r"]']
    text = "\n".join([*lines, "[zeropoint]", "g = 22"])
    assert read_config(toml(text), KNOWN) == {
        "steps": 3, "scale": 1.0, "min_pixels": 7, "sigma": 0.1, "images": ["a.fits"], "bands": ("g", "r"),
        "zeropoint": {"g": 22.0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step = 3", "run.toml: unknown option 'step'; did you mean 'steps'?"),
        ("[detection]\nsteps = 3", "run.toml: unknown option 'detection'; known: "),
        ("steps = 'three'", "run.toml: steps: a whole number is wanted, 'three' came"),
        ("steps = true", "run.toml: steps: a whole number is wanted, True came"),
        ("resume = 1", "run.toml: resume: true or false is wanted, 1 came"),
        ("zeropoint = 'bright'", "run.toml: zeropoint: a number is wanted, 'bright' came"),
    ],
)
def test_mistakes_are_named(toml: Write, text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_config(toml(text), KNOWN)
    assert str(caught.value).startswith(message)


def test_files_that_are_no_toml(toml: Write, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"run\.toml is not TOML"):
        read_config(toml("steps ="), KNOWN)
    with pytest.raises(FileError, match=r"none\.toml cannot be read: No such file"):
        read_config(tmp_path / "none.toml", KNOWN)


def test_files_by_band() -> None:
    assert config.files("a.fits") == "a.fits"
    assert config.files("g=a.fits, r=b.fits[SCI,1]") == {"g": "a.fits", "r": "b.fits[SCI,1]"}
    assert config.files("image[SCI,1]") == "image[SCI,1]"
    assert config.files("odd,name.fits") == "odd,name.fits"
    with pytest.raises(OptionError, match="band=value for every band"):
        config.files("g=a.fits,b.fits")
    with pytest.raises(OptionError, match="a band comes twice"):
        config.files("g=a.fits,g=b.fits")


def test_numbers_and_names() -> None:
    assert config.numbers("22.5") == 22.5
    assert config.numbers("22.5,22.3") == (22.5, 22.3)
    assert config.numbers("g=22.5,r=22.3") == {"g": 22.5, "r": 22.3}
    assert config.noise("0.1") == 0.1
    assert config.noise("noise.fits") == "noise.fits"
    assert config.bands("g, r") == ("g", "r")
    assert config.bands("g=a.fits") == {"g": "a.fits"}
    assert config.extension("2") == 2
    assert config.extension("SCI,1") == "SCI,1"
    assert config.whole_number("0b101") == 5
    with pytest.raises(OptionError, match="0b101 is wanted, 'five' came"):
        config.whole_number("five")
