"""Local processes: one core each, and one that dies takes nothing with it but the item it held."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from rosse.errors import InputError, OptionError, RunError
from rosse.pipeline.engines import ONE_THREAD, TRIES, Lost

_NOTHING = object()
_READY, _DONE, _RAISED, _DEAD = "ready", "done", "raised", "dead"


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """Processes on this machine.

    Parameters
    ----------
    workers : number of processes; None takes one per core that this process may use. One worker, or a single item,
        works in the calling process itself, where a crash is not survived.

    Notes
    -----
    Processes are spawned, not forked: torch, CUDA and threads do not survive a fork. In a script, call from under
    ``if __name__ == "__main__":``.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise OptionError(f"workers is {self.workers}; at least 1 is wanted")

    @property
    def size(self) -> int:
        """Number of processes."""
        if self.workers is not None:
            return self.workers
        # a batch system may leave this process fewer cores than the machine has; macOS cannot tell
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def map(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterator[Any]:
        """Results as they are ready; at most `size` items are under way at a time."""
        size = min(self.size, len(items)) if isinstance(items, Sized) else self.size
        if size <= 1:  # a process of its own would take seconds to load torch
            return map(function, items)
        return _spawned(function, items, size)


def _spawned(function: Callable[[Any], Any], items: Iterable[Any], size: int) -> Iterator[Any]:
    try:
        work = pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as err:
        raise InputError(
            f"the step cannot be sent to another process: {err}; make it a class or function at the top of a module, "
            "or use one worker"
        ) from err
    pool = _Pool(work=work, size=size)
    try:
        yield from pool.results(items)
    finally:
        pool.stop()


class _Pool:
    """Hands items out one at a time, so that it is known which item a dead worker held."""

    def __init__(self, *, work: bytes, size: int) -> None:
        self.work, self.size = work, size
        self.idle: list[_Worker] = []
        self.busy: dict[Connection, tuple[_Worker, Any]] = {}
        self.suspects: deque[Any] = deque()
        self.tries: dict[int, int] = {}

    def results(self, items: Iterable[Any]) -> Iterator[Any]:
        source = iter(items)
        while True:
            self._hand_out(source)
            if not self.busy:
                return
            for connection in wait(list(self.busy)):
                yield from self._take(connection)  # type: ignore[arg-type]  # wait() also takes sockets

    def _hand_out(self, source: Iterator[Any]) -> None:
        while len(self.busy) < self.size:
            item = next(source, _NOTHING)
            if item is _NOTHING:
                break
            self._start(item)
        if not self.busy and self.suspects:
            # alone, so that it has the machine's whole memory, and no innocent item is under way beside it
            self._start(self.suspects.popleft())

    def _start(self, item: Any) -> None:
        worker = self.idle.pop() if self.idle else _Worker(self.work)
        self.busy[worker.connection] = (worker, item)
        worker.give(item)

    def _take(self, connection: Connection) -> Iterator[Any]:
        worker, item = self.busy[connection]
        word, value = worker.answer()
        if word == _READY:
            return
        del self.busy[connection]
        if word == _DEAD:
            yield from self._mourn(worker, item)
            return
        self.idle.append(worker)
        if word == _RAISED:
            raise RunError(f"a worker cannot go on: {value}")
        yield value

    def _mourn(self, worker: _Worker, item: Any) -> Iterator[Lost]:
        reason = worker.end()
        if not worker.ready:
            raise RunError(
                f'{reason} before it could start; in a script, call rosse from under `if __name__ == "__main__":`'
            )
        tried = self.tries.get(id(item), 0) + 1
        if tried >= TRIES:
            yield Lost(item=item, reason=f"{reason}, {tried} times over the same partition")
            return
        self.tries[id(item)] = tried
        self.suspects.append(item)

    def stop(self) -> None:
        workers = [*self.idle, *(worker for worker, _ in self.busy.values())]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.end()


class _Worker:
    """A process and the pipe to it."""

    def __init__(self, work: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self.ready = False
        self.process = context.Process(target=_serve, args=(far, work), daemon=True)
        with _for_a_child():
            self.process.start()
        far.close()  # the only other end is now in the child: its death ends the pipe

    def give(self, item: Any) -> None:
        try:
            self.connection.send(item)
        except (BrokenPipeError, ConnectionResetError):
            return  # it died between two items: `answer` says so

    def answer(self) -> tuple[str, Any]:
        """One of the four words, and the result or the reason."""
        try:
            word, value = self.connection.recv()
        except (EOFError, OSError):
            return _DEAD, None
        self.ready = True
        return word, value

    def end(self) -> str:
        """Reap the process, and say how it ended."""
        self.process.join(timeout=5)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        self.connection.close()
        self.process.close()
        if code == -signal.SIGKILL:
            return "a worker was killed (out of memory?)"
        return f"a worker died (signal {-code})" if code < 0 else f"a worker exited with code {code}"


@contextmanager
def _for_a_child() -> Iterator[None]:
    """The child inherits one thread per library, and no Ctrl-C: it is the parent that decides when to stop."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _serve(connection: Connection, work: bytes) -> None:
    """Runs in the worker: items in, results out, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        connection.send((_READY, None))
        function = pickle.loads(work)
        while True:
            connection.send((_DONE, function(connection.recv())))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone, or wants no more
    except Exception as err:
        connection.send((_RAISED, f"{type(err).__name__}: {err}"))


def _die_with_parent() -> None:
    """A parent that was killed cannot stop its workers, and they would go on with work that nobody collects."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
