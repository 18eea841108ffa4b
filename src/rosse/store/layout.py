"""What lies where in a catalogue directory.

    DIR/
      run.json                        provenance, counts, and the mark that makes a directory a catalogue
      hats.properties, properties     HATS description of the catalogue      (only with sky positions)
      partition_info.csv              the HEALPix pixels that are partitions (only with sky positions)
      dataset/
        _common_metadata              schema: types, units, descriptions
        _metadata                     footers of all partitions, left out of very large catalogues
        Norder=1/Dir=0/Npix=17.parquet        rows of one HEALPix pixel, sorted by `_healpix_29`
        no_position-00000.parquet             rows without ra/dec in a catalogue that has positions elsewhere
        part-00000.parquet                    all rows, when none has a position

Files of others in DIR (figures, the run's own parts) are never touched.
"""

from __future__ import annotations

import csv
from pathlib import Path

DATASET = "dataset"
PARTITION_INFO = "partition_info.csv"
RUN = "run.json"
COMMON_METADATA = "_common_metadata"
METADATA = "_metadata"
PLAIN = "part"
NO_POSITION = "no_position"

# Everything that a catalogue owns, in the order in which it is put in place: without run.json a directory is no
# catalogue for rosse, without the properties it is none for HATS readers, so that these come last.
OWNED = (DATASET, PARTITION_INFO, "hats.properties", "properties", RUN)

FORMAT = "rosse-catalogue"
FORMAT_VERSION = 1
HEALPIX = "_healpix_29"
HEALPIX_ORDER = 29
RESERVED = ("Norder", "Dir", "Npix")  # columns that readers make of the directory names

# pandas wants `dataset`, not the directory: pyarrow takes every file for Parquet whose name does not start with _ or .,
# and HATS demands `hats.properties` and `partition_info.csv` at the top.
HOW_TO_READ = {
    "rosse": "rosse.open_catalogue(DIR)",
    "lsdb": "lsdb.open_catalog(DIR)",
    "pandas": "pandas.read_parquet(DIR + '/dataset')",
    "duckdb": "SELECT * FROM 'DIR/dataset/**/*.parquet'",
    "topcat": "the partition files below DIR/dataset, or rosse.open_catalogue(DIR).export('catalogue.fits')",
}


def pixel_file(order: int, pixel: int) -> str:
    """Path of a HEALPix partition below ``dataset``, as HATS wants it."""
    return f"Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}.parquet"


def numbered_file(kind: str, number: int) -> str:
    """Path below ``dataset`` of a partition that is not tied to the sky."""
    return f"{kind}-{number:05d}.parquet"


def data_files(directory: Path) -> list[Path]:
    """Partition files of a catalogue in row order, from its own lists; nothing is opened but the list of pixels."""
    dataset = directory / DATASET
    files: list[Path] = []
    if (directory / PARTITION_INFO).exists():
        with (directory / PARTITION_INFO).open(newline="") as stream:
            pixels = [(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(stream)]
        pixels.sort(key=lambda item: item[1] << 2 * (HEALPIX_ORDER - item[0]))
        files = [dataset / pixel_file(order, pixel) for order, pixel in pixels]
    return [*files, *sorted(dataset.glob(f"{NO_POSITION}-*.parquet")), *sorted(dataset.glob(f"{PLAIN}-*.parquet"))]
