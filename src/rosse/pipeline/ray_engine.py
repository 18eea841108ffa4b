"""Ray, for those who outgrow one machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rosse.errors import OptionError, RunError, require
from rosse.pipeline.engines import Lost

RETRIES = 3  # a cluster also loses whole nodes (preemption), which is no fault of the items they held


@dataclass(frozen=True, kw_only=True)
class RayEngine:
    """Tasks of a Ray cluster; results stream to the calling process, which writes them.

    Parameters
    ----------
    address : of a running cluster, ``"host:6379"``, ``"ray://host:10001"`` or ``"auto"``; None starts one on this
        machine and stops it afterwards.
    workers : tasks at a time; None takes one per core of the cluster.

    Notes
    -----
    Every node needs the same rosse and must see the input files under the same paths. Ray's usage statistics are
    switched off.
    """

    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise OptionError(f"workers is {self.workers}; at least 1 is wanted")

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterator[Any]:
        """Results as they are ready; at most twice as many items as workers are under way, so that none waits."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when ray is imported and when it starts processes
        ray = require("ray", extra="ray")
        ours = not ray.is_initialized()
        if ours:
            self._connect(ray)
        try:
            yield from _results(ray, function, items, 2 * (self.workers or int(ray.cluster_resources().get("CPU", 1))))
        finally:
            if ours:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        options: dict[str, Any] = {"address": self.address, "log_to_driver": False, "logging_level": logging.ERROR}
        if self.address is None:
            options |= {"address": "local", "num_cpus": self.workers, "include_dashboard": False}
        try:
            _knock(self.address)
            ray.init(**options)
        except (OSError, ValueError, RuntimeError) as err:
            where = f"the Ray cluster at {self.address}" if self.address else "a local Ray cluster"
            raise RunError(f"{where} cannot be used: {err}") from err


def _knock(address: str | None) -> None:
    """Raise at once where nothing listens; Ray itself tries for five minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _results(ray: Any, function: Callable[[Any], Any], items: Iterable[Any], limit: int) -> Iterator[Any]:
    # the step holds what is large and constant (PSF, description of the mosaics): stored once, fetched once per node
    stored = ray.put(function)
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_call)
    source = iter(items)
    pending: dict[Any, Any] = {}
    try:
        while True:
            while len(pending) < limit and (item := next(source, None)) is not None:
                pending[task.remote(stored, item)] = item
            if not pending:
                return
            (ready, *_), _ = ray.wait(list(pending), num_returns=1)
            yield _fetch(ray, ready, pending.pop(ready))
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)


def _fetch(ray: Any, reference: Any, item: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as err:
        raise RunError(f"a worker cannot go on: {_first_line(err.cause or err)}") from err
    except ray.exceptions.RayError as err:
        why = f"{type(err).__name__}: {_first_line(err)}"
        return Lost(item=item, reason=f"the workers that tried it died, {RETRIES + 1} times ({why})")


def _first_line(err: BaseException) -> str:
    return next(iter(str(err).strip().splitlines()), type(err).__name__)
