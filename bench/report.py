"""Tables of `bench/fit.py`, and the page that shows them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

BEGIN, END = "<!-- figures of bench/fit.py -->", "<!-- end of the figures -->"


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a fitter returned.

    Parameters
    ----------
    title : with its version.
    workers : what it ran on: cores, or a GPU.
    rate : galaxies per second.
    memory : peak of all its processes together, MB.
    rows : a dict per galaxy, see `peers/__init__.py`; `i` says which galaxy.
    """

    title: str
    workers: str
    rate: float
    memory: float
    rows: list[dict]

    @cached_property
    def index(self) -> np.ndarray:
        return np.array([row["i"] for row in self.rows])

    @cached_property
    def ok(self) -> np.ndarray:
        return np.array([bool(row["ok"]) for row in self.rows])

    def value(self, name: str) -> np.ndarray:
        """NaN where the fit failed, or the fitter does not tell."""
        values = np.array([row.get(name, np.nan) for row in self.rows], dtype=float)
        return np.where(self.ok, values, np.nan)

    def beside(self, other: Measured) -> float:
        """Median difference of chi^2 of the galaxies that both have fitted."""
        theirs = dict(zip(other.index.tolist(), other.value("chi2").tolist(), strict=True))
        return median(self.value("chi2") - np.array([theirs.get(i, np.nan) for i in self.index.tolist()]))


def accuracy_table(lines: list[Measured], truth: np.ndarray, *, zeropoint: float, bright: float) -> list[str]:
    """Single Sersic profiles."""
    out = [
        f"Single Sersic profiles, {len(truth)} galaxies; errors are medians at S/N of {bright:.0f} and more.", "",
        "| fitter | cores | galaxies/s | rosse is faster by | fitted | r_e | n | q | mag | bias of n "
        "| width of pulls in n | chi^2 - rosse's | memory, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for line in lines:
        true = truth[line.index]
        use = true["snr"] >= bright
        cells = [relative(line, true, name, use) for name in ("re", "n")]
        cells.append(f"{median(np.abs(line.value('q') - true['q'])[use]):.4f}")
        mag = zeropoint - 2.5 * np.log10(line.value("flux"))
        cells.append(f"{median(np.abs(mag - true['mag'])[use]):.4f}")
        out.append(row(line, lines[0], cells + n_cells(line, true, use)))
    return out


def bulge_disc_table(lines: list[Measured], truth: np.ndarray, *, zeropoint: float, bright: float) -> list[str]:
    """Sums of two; the true share of the bulge follows from the magnitudes."""
    del zeropoint
    out = [
        f"Bulge (Sersic) and exponential disc, {len(truth)} galaxies; errors are medians at S/N of {bright:.0f} and "
        "more.", "",
        "| fitter | cores | galaxies/s | rosse is faster by | fitted | bulge r_e | bulge n | disc r_e | bulge's share "
        "| bias of n | width of pulls in n | chi^2 - rosse's | memory, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for line in lines:
        true = truth[line.index]
        use = true["snr"] >= bright
        cells = [relative(line, true, name, use) for name in ("re", "n", "re_d")]
        share = line.value("flux") / (line.value("flux") + line.value("flux_d"))
        true_share = 1 / (1 + 10 ** (-0.4 * (true["mag_d"] - true["mag"])))
        cells.append(f"{median(np.abs(share - true_share)[use]):.4f}")
        out.append(row(line, lines[0], cells + n_cells(line, true, use)))
    return out


def row(line: Measured, first: Measured, cells: list[str]) -> str:
    ratio = "1" if line is first else f"{first.rate / line.rate:.3g}"
    fitted = f"{int(line.ok.sum())} of {len(line.ok)}"
    beside = "0" if line is first else f"{line.beside(first):+.2f}"
    whole = [line.title, line.workers, f"{line.rate:.3g}", ratio, fitted, *cells, beside, f"{line.memory:.0f}"]
    return "| " + " | ".join("-" if cell.strip("+ %") == "nan" else cell for cell in whole) + " |"


def relative(line: Measured, true: np.ndarray, name: str, use: np.ndarray) -> str:
    return f"{100 * median(np.abs(line.value(name) / true[name] - 1)[use]):.2f} %"


def n_cells(line: Measured, true: np.ndarray, use: np.ndarray) -> list[str]:
    """Bias of n, and the width of its pulls: 1 where errors say what they should."""
    off = line.value("n") - true["n"]
    pull = (off / line.value("sigma_n"))[use]
    pull = pull[np.isfinite(pull)]
    width = np.diff(np.percentile(pull, [15.87, 84.13]))[0] / 2 if len(pull) > 2 else np.nan
    return [f"{100 * median((off / true['n'])[use]):+.2f} %", f"{width:.2f}"]


def median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else np.nan


def scaling_table(results: list[tuple[int, dict]]) -> list[str]:
    """Rosse alone; each result with the side of its frames."""
    out = [
        "rosse alone: a catalogue on disk, read part by part; then the same small galaxies in frames of growing size.",
        "", "| galaxies | frame, pixels | galaxies/s | million pixels/s | memory, MB |", "|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for frame, result in results:
        rate, memory = result["rate"], result["peak_memory"]
        out.append(f"| {result['count']} | {frame} | {rate:.3g} | {rate * frame**2 / 1e6:.3g} | {memory:.0f} |")
    return out


def publish(page: Path, text: str, *, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between two markers of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no {begin} ... {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
