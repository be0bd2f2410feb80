"""The documentation's own code, without Sphinx: examples run, links lead somewhere, pages cover."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import qnsolve
from qnsolve import methods

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SCRIPTS = sorted([*ROOT.glob("examples/gallery/plot_*.py"), *ROOT.glob("examples/teaching/*.py")])
MADE_BY_SPHINX = ("reference/api/", "gallery/", "teaching/")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_run_and_draw(script, capsys, monkeypatch):
    monkeypatch.syspath_prepend(script.parent)  # as where it is run by name
    names = runpy.run_path(str(script))
    assert isinstance(names["figure"], Figure)
    assert "nan" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("page", "functions", "lines"),
    [
        ("lsr1_trust_region", ("spectrum", "ball", "best_step", "minimise"), 60),
        ("shape_changing_arc", ("one", "spectrum", "cubic_step", "minimise"), 45),
        (
            "inverse_line_search",
            ("inner", "product", "direction", "backtracking", "minimise"),
            45,
        ),
        ("ellipsoidal_newton", ("steihaug", "minimise"), 45),
    ],
)
def test_a_method_from_nothing_is_as_short_as_its_page_says(page, functions, lines):
    text = (ROOT / f"examples/teaching/{page}.py").read_text()
    length = 0
    for name in functions:
        (body,) = re.findall(rf"^def {name}\(.*?(?=\n\n\n|\Z)", text, flags=re.S | re.M)
        length += sum(bool(line.strip()) for line in body.splitlines())
    assert lines - 10 <= length <= lines
    exercises = re.findall(r"^# (\d)\. \*", text, flags=re.M)
    solutions = re.findall(r"^# \*\*(\d)\.\*\*", text, flags=re.M)
    assert exercises == solutions == ["1", "2", "3"]


def sources():
    pages = [path for path in DOCS.rglob("*.md") if "_build" not in path.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages]


@pytest.mark.parametrize("page", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path = page.parent / target
        made = any(part in path.as_posix() for part in MADE_BY_SPHINX) and path.suffix == ".rst"
        assert made or path.exists(), target


NAMES = {
    "docs/arrays-and-ranks.md": """
import numpy as np, qnsolve
model = lambda x: ((x[:1000] - 1.0) ** 2).sum()
part, x0_slice = lambda x: (float(x @ x), 2.0 * x), np.ones(5)
loss_of, parameters, my_batches = lambda x, batch: part(x), np.ones(5), [None]
""",
    "docs/training.md": """
import numpy as np, torch
rng = np.random.default_rng(0)
images, labels = torch.randn(5000, 784), torch.randint(10, (5000,))
loader = [(images[:500], labels[:500])]
X, y = rng.standard_normal((1000, 3)), np.ones(1000)
w0 = np.zeros(3)
""",
}
"""Data that the blocks of a page take as given."""


@pytest.mark.parametrize("page", NAMES)
def test_blocks_that_are_no_doctests_run(page, tmp_path):
    for library in ("torch", "jax", "mpi4py"):
        pytest.importorskip(library)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), flags=re.S | re.M)
    code = "\n".join([NAMES[page], *(block for block in blocks if ">>>" not in block)])
    code = code.replace('device="cuda"', 'device="cpu"')
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    pytest.importorskip("numpydoc")
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        from reference_pages import write_pages
    finally:
        sys.path.pop(0)
    folder = tmp_path_factory.mktemp("reference")
    write_pages(folder)
    return folder


def test_every_public_name_has_a_page(reference):
    modules = {"presets", "verify"}
    names = [n for n in qnsolve.__all__ if n not in modules and not n.startswith("__")]
    missing = [n for n in names if not (reference / f"qnsolve.{n}.rst").exists()]
    assert not missing


def test_every_option_of_every_method_is_in_the_table(reference):
    table = (reference / "options.rst").read_text()
    for method, solver in methods.TABLE.items():
        assert method in table
        for option in fields(solver.options):
            assert f"* - ``{option.name}``" in table


def test_every_status_is_in_the_table(reference):
    table = (reference / "statuses.rst").read_text()
    for status in [*qnsolve.Status, *qnsolve.SubproblemStatus, *qnsolve.UpdateStatus]:
        assert f"``{status.name}``" in table


def test_costs_are_stated_for_matrices_and_solvers(reference):
    table = (reference / "costs.rst").read_text()
    for name in ("LSR1", "LBFGS.matvec", "solve_trs", "solve_cubic", "steihaug_cg", "gltr"):
        assert re.search(rf"`{name} <", table), name
