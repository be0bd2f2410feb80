"""The example of physics-informed networks: derivatives, references, conditions and the contest."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsolve import verify

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

broyden = importlib.import_module("examples.pinn.broyden")
contest = importlib.import_module("examples.pinn.contest")
measure = importlib.import_module("examples.pinn.measure")
networks = importlib.import_module("examples.pinn.networks")
problems = importlib.import_module("examples.pinn.problems")
references = importlib.import_module("examples.pinn.references")

CPU = torch.device("cpu")
NAMES = list(problems.PROBLEMS)


@pytest.fixture(scope="module", params=NAMES)
def problem(request):
    return problems.PROBLEMS[request.param](64, CPU)


def test_jets_are_derivatives():
    """Of a network times a factor, by nested automatic differentiation of the same function."""
    ansatz = networks.Ansatz(
        networks.TanhNet((3, 5, 4, 2)),
        problems.periodic,
        lambda p: p[:, :1].sin() * p[:, 1:].exp(),
        lambda p: p[:, 1:] * (1.0 - p[:, :1].square()),
    )
    weights = ansatz.network.initial(problems.generator(0))
    points = problems.collocation(7, (-1.0, 0.0), (1.0, 1.0), CPU)
    orders = (3, 2)

    def u(p):
        (outputs,) = ansatz.network.jet(weights, ansatz.features(p)[None], (0, 0))
        return ansatz.lift(p) + ansatz.factor(p) * outputs

    rows = ansatz.at(points, orders)(weights)
    expected = networks.jet_of(u, points, orders)
    assert len(rows) == len(expected) == 6
    for row, derivative in zip(rows, expected, strict=True):
        torch.testing.assert_close(row, derivative, rtol=1e-11, atol=1e-11)


def test_loss_has_its_gradient(problem):
    """What `Measured` hands to the contenders; the derivative along one random direction."""
    x = problem.initial(1)
    assert x.shape == (problem.size,) and x.dtype == torch.float64
    d = torch.randn(len(x), generator=problems.generator(2), dtype=x.dtype)
    both = measure.differentiated(problem.loss)

    def along(a):
        f, g = both(x + a[0] * d)
        return float(f), np.array([float(g @ d)])

    assert verify.check_grad(along, np.zeros(1)).consistent


def test_weights_are_drawn_by_the_seed(problem):
    assert torch.equal(problem.initial(3), problem.initial(3))
    assert not torch.equal(problem.initial(3), problem.initial(4))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "diffusivity"])
def test_conditions_hold_for_all_weights(name):
    """Where the reference is given on the boundary or at t = 0, the field is equal to it."""
    problem = problems.PROBLEMS[name](64, CPU)
    grid, reference = problem.grid, problem.reference
    field = problem.field(problem.initial(0))
    if name == "poisson":
        given = ((grid == 0.0) | (grid == 1.0)).any(1)
    else:
        given = grid[:, -1] == 0.0
        if name.startswith("burgers"):
            given |= grid[:, 0].abs() == 1.0
    assert given.sum() >= 100
    torch.testing.assert_close(field[given], reference[given], rtol=0, atol=1e-12)
    assert float((field - reference).abs().max()) > 0.1


def test_periodic_where_it_should_be():
    points = torch.tensor([[-1.0, 0.3], [1.0, 0.3]], dtype=torch.float64)
    one, other = problems.periodic(points)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("nu", [0.05, 0.01 / math.pi])
def test_burgers_is_exact(nu):
    """More nodes change nothing, and central differences satisfy the equation."""
    x, t = np.meshgrid(np.linspace(-1.0, 1.0, 41), np.linspace(0.0, 1.0, 11), indexing="ij")
    coarse, fine = (references.burgers(x, t, nu, nodes) for nodes in (200, 300))
    np.testing.assert_allclose(coarse, fine, rtol=0, atol=1e-10)
    np.testing.assert_allclose(coarse[:, 0], -np.sin(np.pi * x[:, 0]), rtol=0, atol=1e-14)
    x, t, h = x[5:36:5, 2:], t[5:36:5, 2:], 1e-4

    def u(dx, dt):
        return references.burgers(x + dx * h, t + dt * h, nu, 300)

    u_t = (u(0, 1) - u(0, -1)) / (2 * h)
    u_x = (u(1, 0) - u(-1, 0)) / (2 * h)
    u_xx = (u(1, 0) - 2 * u(0, 0) + u(-1, 0)) / h**2
    # h^2 / 12 of the fourth derivative, which is up to (0.5 / nu)^4 where the front is.
    bound = h**2 / nu**4 * nu + 1e-6
    assert np.abs(u_t + u(0, 0) * u_x - nu * u_xx).max() <= bound


@pytest.mark.parametrize(
    ("reference", "finer"),
    [
        (problems.allen_cahn_reference, {"modes": 3072, "steps": 15}),
        (problems.korteweg_de_vries_reference, {"modes": 384, "steps": 120}),
    ],
)
def test_refining_a_fourier_reference_changes_nothing(reference, finer):
    x, t, u = reference()
    _, t_fine, fine = reference(**finer)
    assert np.array_equal(t, t_fine)
    modes = finer["modes"]
    k = np.arange(modes // 2 + 1)
    weights = np.where(k == 0, 1.0, 2.0) / modes
    series = weights * np.exp(1j * np.pi * np.outer(x[::8] + 1.0, k))
    at = (np.fft.rfft(fine[[10, -1]]) @ series.T).real
    np.testing.assert_allclose(u[[10, -1], ::8], at, rtol=0, atol=1e-8)


def test_refining_the_diffusion_changes_nothing():
    x, _, u = problems.diffusivity_reference()
    x_fine, _, fine = problems.diffusivity_reference(80)
    np.testing.assert_allclose(x, x_fine[::2], rtol=0, atol=1e-14)
    np.testing.assert_allclose(u, fine[:, ::2], rtol=0, atol=1e-9)


def test_taylor_green_solves_its_equation():
    """The exact velocity with its pressure has no residual: the signs of all terms are right."""
    nu = 0.1

    def solution(p):
        x, y, t = p[:, :1], p[:, 1:2], p[:, 2:]
        decay = (-2.0 * nu * t).exp()
        # Of u = -cos x sin y, v = sin x cos y.
        pressure = -0.25 * ((2.0 * x).cos() + (2.0 * y).cos()) * decay**2
        return torch.cat([-x.cos() * y.sin() * decay, x.sin() * y.cos() * decay, pressure], 1)

    points = problems.collocation(50, (0.0, 0.0, 0.0), (6.0, 6.0, 2.0), CPU)
    jet = networks.jet_of(solution, points, (2, 2, 1)).unbind(0)
    assert float(problems.navier_stokes(nu)(*jet).abs().max()) <= 1e-13
    problem = problems.PROBLEMS["taylor-green"](64, CPU)
    exact = solution(problem.grid)[:, :2]
    torch.testing.assert_close(problem.reference, exact, rtol=0, atol=1e-14)


@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_self_scaled_broyden_is_its_formula(n, seed):
    """The stored inverse against the matrix of the formula, which satisfies the secant equation."""
    drawn = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(drawn.standard_normal((n, n)))
    B = (Q * drawn.uniform(0.1, 10.0, n)) @ Q.T
    s, y = drawn.standard_normal((2, n))
    y = y * np.sign(s @ y) + s
    b, h = s @ B @ s / (s @ y), y @ np.linalg.solve(B, y) / (s @ y)
    tau, theta = broyden.scaling(n, b, h)
    w = y / (s @ y) - B @ s / (s @ B @ s)
    middle = B - np.outer(B @ s, B @ s) / (s @ B @ s) + theta * (s @ B @ s) * np.outer(w, w)
    expected = tau * middle + np.outer(y, y) / (s @ y)
    H = broyden.update(*map(torch.tensor, (np.linalg.inv(B), s, y)), b).numpy()
    assert 0.0 < tau <= 1.0 + 1e-12
    np.testing.assert_allclose(H @ y, s, rtol=0, atol=1e-8 * np.abs(H).max() * np.abs(y).max())
    cond = np.linalg.cond(expected)
    np.testing.assert_allclose(H @ expected, np.eye(n), rtol=0, atol=1e-12 * cond)
    assert np.linalg.eigvalsh(expected).min() > 0.0


@given(st.floats(1e-3, 1e3), st.floats(0.0, 6.0), st.integers(0, 2**32 - 1))
def test_line_search_satisfies_the_wolfe_conditions(first, phase, seed):
    slope = np.random.default_rng(seed).uniform(0.1, 1.0)

    def evaluate(x):
        """Bounded below, with ripples."""
        a = x[0]
        f = (1.0 + a * a).sqrt() + 0.2 * torch.cos(3.0 * a + phase)
        g = a / (1.0 + a * a).sqrt() - 0.6 * torch.sin(3.0 * a + phase)
        return float(f), g[None]

    x = torch.tensor([5.0 / slope], dtype=torch.float64)
    f, g = evaluate(x)
    d = -g
    start = broyden.Point(0.0, f, float(g @ d), x, g)
    found = broyden.wolfe(evaluate, start, d, first)
    if start.slope == 0.0:
        return
    assert found is not None
    assert found.f <= f + broyden.DECREASE * found.step * start.slope
    assert abs(found.slope) <= -broyden.CURVATURE * start.slope


def test_self_scaled_broyden_minimises():
    best = []

    def rosenbrock(x):
        x = x.detach().requires_grad_()
        f = (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()
        best.append(float(f.detach()))
        return best[-1], torch.autograd.grad(f, x)[0]

    broyden.minimise(rosenbrock, torch.zeros(10, dtype=torch.float64))
    assert min(best) <= 1e-18


def test_contest(tmp_path, capsys):
    """It writes what it measures, goes on after what is there, and every contender has a run."""
    arguments = ["--quick", "--problem", "poisson", "--budget", "6", "--points", "32"]
    contest.main([*arguments, "--out", str(tmp_path)])
    table = (tmp_path / "poisson.md").read_text()
    assert all(f"| {name} |" in table for name in contest.CONTENDERS)
    assert (tmp_path / "poisson.png").stat().st_size > 10_000
    runs = measure.read(tmp_path / "curves.csv")
    assert len(runs) == len(contest.CONTENDERS)
    for rows in runs:
        assert rows[-1].evaluations <= 6
        losses = [row.loss for row in rows]
        assert losses == sorted(losses, reverse=True)
        assert np.isfinite([row.error for row in rows]).all()
    before = (tmp_path / "curves.csv").read_bytes()
    capsys.readouterr()
    contest.main([*arguments, "--out", str(tmp_path)])
    assert (tmp_path / "curves.csv").read_bytes() == before
    assert "evaluations " not in capsys.readouterr().out.split("median")[0]
    with pytest.raises(SystemExit, match="points"):
        contest.main([*arguments, "--points", "33", "--out", str(tmp_path)])


def test_seeds_in_processes_of_their_own(tmp_path):
    arguments = ["--problem", "poisson", "--budget", "4", "--points", "16", "--only", "hybrid*20*"]
    for jobs in ("1", "2"):
        contest.main([*arguments, "--seeds", "1", "--jobs", jobs, "--out", str(tmp_path / jobs)])
    one, other = (measure.read(tmp_path / jobs / "curves.csv") for jobs in ("1", "2"))
    assert [[row.loss for row in rows] for rows in one] == [
        [row.loss for row in rows] for rows in other
    ]


def test_contest_names_its_contenders(tmp_path, capsys):
    with pytest.raises(SystemExit):
        contest.main(["--only", "Nelder*", "--out", str(tmp_path)])
    assert "hybrid-tr, 20 pairs" in capsys.readouterr().err
