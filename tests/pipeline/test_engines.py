import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import engine_functions as functions
import pytest

from rosse.errors import InputError, OptionError, RunError
from rosse.pipeline.engines import Lost
from rosse.pipeline.local import LocalEngine


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine(workers=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_comes_back_once(workers: int) -> None:
    found = sorted(LocalEngine(workers=workers).map(functions.square, range(20)))
    assert found == [(i, i * i) for i in range(20)]


def test_no_items(engine: LocalEngine) -> None:
    assert list(engine.map(functions.square, [])) == []


def test_items_are_taken_only_as_they_are_needed(engine: LocalEngine) -> None:
    taken = []

    def source() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    results = engine.map(functions.square, source())
    next(results)
    assert len(taken) <= 4  # two under way, and at most one new one for each answer
    results.close()


def test_large_results_pass(engine: LocalEngine) -> None:
    assert {item: int(array.sum()) for item, array in engine.map(functions.large, range(4))} == {
        i: 300_000 * i for i in range(4)
    }


def test_killed_worker_loses_nothing(engine: LocalEngine, tmp_path: Path) -> None:
    found = sorted(engine.map(functions.DieOnce(tmp_path, victim=5), range(12)))
    assert (tmp_path / "died").exists()
    assert found == [(i, i * i) for i in range(12)]


def test_item_that_kills_twice_is_named_and_the_rest_goes_on(engine: LocalEngine) -> None:
    found = list(engine.map(functions.die_at_three, range(8)))
    lost = [result for result in found if isinstance(result, Lost)]
    assert [result.item for result in lost] == [3]
    assert "killed" in lost[0].reason
    assert "2 times" in lost[0].reason
    assert sorted(result for result in found if not isinstance(result, Lost)) == [
        (i, i * i) for i in range(8) if i != 3
    ]


def test_workers_have_one_thread_and_the_parent_keeps_its_own(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert set(engine.map(functions.threads, range(3))) == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_no_process_is_left_behind(engine: LocalEngine) -> None:
    results = engine.map(functions.slow_square, range(100))
    next(results)
    results.close()
    assert multiprocessing.active_children() == []


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from rosse.pipeline.local import LocalEngine\n"
        "import multiprocessing, engine_functions\n"
        "if __name__ == '__main__':\n"
        "    results = LocalEngine(workers=2).map(engine_functions.slow_square, range(100000))\n"
        "    next(results), next(results)\n"
        "    print(*[p.pid for p in multiprocessing.active_children()], flush=True)\n"
        "    for _ in results: pass\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in workers)


def test_executor_is_an_engine_too() -> None:
    with ThreadPoolExecutor(2) as executor:
        assert sorted(executor.map(functions.square, range(5))) == [(i, i * i) for i in range(5)]


def test_mistakes_are_said_clearly(engine: LocalEngine) -> None:
    with pytest.raises(OptionError, match="workers is 0; at least 1"):
        LocalEngine(workers=0)
    with pytest.raises(InputError, match="cannot be sent to another process"):
        list(engine.map(functions.Unpicklable(), range(3)))
    with pytest.raises(RunError, match="no such module over here"):
        list(engine.map(functions.Unloadable(), range(3)))
    with pytest.raises(RunError, match="ValueError: three"):
        list(engine.map(functions.raise_at_three, range(8)))


def test_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from rosse.pipeline.local import LocalEngine\n"
        "import engine_functions\n"
        "print(list(LocalEngine(workers=2).map(engine_functions.square, range(4))))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "__main__" in done.stderr


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
