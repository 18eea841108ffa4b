"""Two fields that need no download, measured the way a user would: one simulated with known truth, one real."""

from __future__ import annotations

from rosse.demo.options import DemoOptions
from rosse.demo.run import run_demo

__all__ = ["DemoOptions", "run_demo"]
