"""Rows in, rows out: the catalogue directory."""

from __future__ import annotations

from rosse.store.catalogue import Catalogue, open_catalogue
from rosse.store.provenance import describe_run
from rosse.store.writing import write_catalogue

__all__ = ["Catalogue", "describe_run", "open_catalogue", "write_catalogue"]
