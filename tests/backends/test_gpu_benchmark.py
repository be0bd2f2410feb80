"""The GPU benchmark runs as it stands, and measures nothing where there is no GPU."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def benchmark():
    return runpy.run_path(str(BENCHMARK))


def test_its_program_on_numpy(benchmark, capsys):
    sizes = ["--sizes", "300", "600", "--copy-bytes", "4000"]
    assert benchmark["main"](["--libraries", "numpy", *sizes]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.startswith("| ") and "float" in line]
    assert len(rows) == 5 * 2 * 2
    checked = [row.split("|")[9].strip() for row in rows]
    assert checked == ["0e+00", ""] * 10
    assert "no GPU" not in "".join(lines)


def test_without_a_gpu_nothing_is_measured(benchmark, capsys):
    if not all(isinstance(benchmark["open_library"](name), str) for name in ("cupy", "torch")):
        pytest.skip("there is a GPU")
    assert benchmark["main"]([]) == 0
    *skipped, last = capsys.readouterr().out.splitlines()
    assert len(skipped) == 2
    assert all("nothing measured" in line for line in skipped)
    assert last == "no GPU, no figures"
