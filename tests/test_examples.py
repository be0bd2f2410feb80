"""The examples run as they stand and reach what they say."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path

import numpy as np
import pytest

import qnsolve
from tests.mpi.launcher import MPIEXEC, launch

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name):
    return runpy.run_path(str(EXAMPLES / name))["main"]


def test_quickstart(capsys):
    assert run("quickstart.py")().success
    printed = capsys.readouterr().out
    assert "gradient consistent: True" in printed


def test_certificate(capsys):
    results = run("certificate.py")(n=1000)
    assert all(result.certificate().worst < 1e-12 for result in results.values())
    assert capsys.readouterr().out.count("stationarity") == len(results)


def test_constrained(capsys):
    results = run("constrained.py")(n=20)
    assert all(result.success for result in results.values())
    for name in ("x >= 0", "mean(x^2) <= 1/2"):
        limited, dense = results[name, "LSR1Strategy"], results[name, "SR1"]
        assert abs(limited.fun - dense.fun) <= 1e-6 * abs(dense.fun)
    assert capsys.readouterr().out.count("iterations") == len(results)


def test_bounded(capsys):
    results = run("bounded.py")(side=100)
    assert {result.x.size for result, _ in results.values()} == {12, 10_000, 5}
    for name, (result, check) in results.items():
        assert result.success, name
        assert check.worst < 1e-3 and check.active > 0, name
        # Central differences have eleven digits of values of the size of one, in units of 1e-2.
        assert check.stationarity <= (1e-4 if name == "fitted decay" else 1e-5)
    assert capsys.readouterr().out.count("within gtol") == len(results)


def test_bounded_gaussian_process():
    pytest.importorskip("sklearn")
    fit = runpy.run_path(str(EXAMPLES / "bounded.py"))["gaussian_process"]
    ours, theirs = fit(), fit("fmin_l_bfgs_b")
    # Both end where the likelihood is flat to 1e-5 in each logarithm.
    difference = ours.log_marginal_likelihood_value_ - theirs.log_marginal_likelihood_value_
    assert abs(difference) <= 1e-5
    low, high = ours.kernel_.bounds.T
    assert ((low <= ours.kernel_.theta) & (ours.kernel_.theta <= high)).all()


def test_dask_sum(capsys):
    pytest.importorskip("distributed")
    example = runpy.run_path(str(EXAMPLES / "dask_sum.py"))
    result, shards = example["main"](count=3, rows=100, n=5, processes=False)
    assert result.success

    def whole(x):
        parts = [example["negative_log_likelihood"](x, shard) for shard in shards]
        return sum(f for f, _ in parts), sum(g for _, g in parts)

    alone = qnsolve.minimize(whole, 0.0 * result.x, jac=True, options={"gtol": 1e-4})
    assert result.fun == pytest.approx(alone.fun, rel=1e-12)
    assert "evaluations of 3 shards" in capsys.readouterr().out


def test_external_program(tmp_path, capsys):
    """Broken off after every eighth evaluation, it ends as the run that was not."""
    main, result = run("external_program.py"), None
    for _ in range(20):
        result = main(tmp_path, n=2, most=8)
        if result is not None:
            break
    assert "evaluations" in capsys.readouterr().out
    whole = qnsolve.minimize(rosen, np.zeros(2), jac=True)
    assert result.nfev == whole.nfev
    assert np.array_equal(result.x, whole.x)


@pytest.fixture
def plug_ins():
    return importlib.import_module("examples.plug_ins")  # a class there needs its module


def test_statsmodels(plug_ins):
    pytest.importorskip("statsmodels")
    fit, ours = plug_ins.statsmodels_logit()
    newton = fit.model.fit(disp=0)
    np.testing.assert_allclose(fit.params, newton.params, atol=1e-5)
    np.testing.assert_allclose(fit.bse, newton.bse, rtol=1e-4)
    np.testing.assert_allclose(ours.errors, newton.bse, rtol=1e-4)


def test_lmfit(plug_ins):
    pytest.importorskip("lmfit")
    fit = plug_ins.lmfit_decay()
    assert fit.success
    assert fit.params["a"].value == pytest.approx(5.0, abs=0.2)
    assert fit.params["tau"].value == pytest.approx(3.0, abs=0.2)


def test_optimagic(plug_ins):
    optimagic = pytest.importorskip("optimagic")
    algorithm = plug_ins.optimagic_algorithm()
    found = optimagic.minimize(
        lambda params: (params["a"] - 1.0) ** 2 + params["b"] ** 4,
        {"a": 0.0, "b": 1.0},
        algorithm=algorithm,
        algo_options={"convergence_gtol_abs": 1e-6},
    )
    assert found.success
    assert found.params["a"] == pytest.approx(1.0, abs=1e-5)
    below = optimagic.Bounds(upper=np.array([-1.0, np.inf]))
    found = optimagic.minimize(lambda x: x @ x, -np.ones(2), algorithm=algorithm, bounds=below)
    np.testing.assert_allclose(found.params, [-1.0, 0.0], rtol=0, atol=1e-5)


def test_acquisition(plug_ins):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    many = plug_ins.acquisition(starts=8)
    assert isinstance(many.x, torch.Tensor)
    assert many.calls == many.nfev.max()
    assert many.best.fun == many.fun.min()


def rosen(x):
    gap, rest = x[1] - x[0] ** 2, 1.0 - x[0]
    f = 0.0 + (100.0 * gap**2 + rest**2)
    g = [0.0 - (400.0 * x[0] * gap + 2.0 * rest), 0.0 + 200.0 * gap]
    return f, np.array(g)


def test_asyncio_starts(capsys):
    results = run("asyncio_starts.py")(count=4)
    assert all(result.success for result in results)
    assert f"{sum(result.nfev for result in results)} evaluations" in capsys.readouterr().out


def test_dask_starts(capsys):
    pytest.importorskip("distributed")
    example = runpy.run_path(str(EXAMPLES / "dask_starts.py"))
    results = example["main"](count=3, processes=False)
    assert "3 starts" in capsys.readouterr().out
    starts = np.random.default_rng(0).uniform(-3.0, 3.0, (3, 3))
    for result, x0 in zip(results, starts, strict=True):
        expected = qnsolve.minimize(example["evaluate"], x0, jac=True)
        assert np.array_equal(result.x, expected.x)


@pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec")
def test_mpi_minimize():
    pytest.importorskip("mpi4py")
    printed = []
    for ranks in (1, 3):
        done = launch(ranks, "examples.mpi_minimize", "--n", "1000")
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.splitlines())
    assert "within gtol" in printed[0][0]
    assert printed[0][1] == printed[1][1]
