"""The methods as plug-ins: statsmodels, lmfit, optimagic, an acquisition function in PyTorch.

    python -m examples.plug_ins

Each function needs its package and nothing else.  The problems have no bounds.
"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds

import qnsolve


def statsmodels_logit(rows: int = 300) -> tuple[Any, Any]:
    """Return a fit of statsmodels by `hybrid_tr`, and its standard errors by `standard_errors`.

    What `fit` does not know it passes on as options.  It passes its Hessian to every method; only
    `newton_tr` uses it, others warn once.
    """
    import statsmodels.api as sm

    rng = np.random.default_rng(0)
    X = sm.add_constant(rng.standard_normal((rows, 4)))
    p = 1.0 / (1.0 + np.exp(-X @ np.array([0.2, 1.0, -1.0, 0.5, 0.0])))
    model = sm.Logit((rng.random(rows) < p).astype(float), X)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Method .* does not use Hessian information")
        fit = model.fit(method="minimize", min_method=qnsolve.hybrid_tr, disp=0, gtol=1e-8)

    def negative(params: np.ndarray) -> tuple[float, np.ndarray]:
        return -model.loglike(params), -model.score(params)

    result = qnsolve.minimize(negative, np.zeros(X.shape[1]), jac=True)
    return fit, qnsolve.standard_errors(negative, result)


def lmfit_decay(rows: int = 101) -> Any:
    """Return a fit of lmfit: its `scalar_minimize` hands any callable on to SciPy."""
    import lmfit

    t = np.linspace(0.0, 10.0, rows)
    data = 5.0 * np.exp(-t / 3.0) + 0.1 * np.random.default_rng(0).standard_normal(rows)

    def residual(params: Any) -> np.ndarray:
        return params["a"] * np.exp(-t / params["tau"]) - data

    minimizer = lmfit.Minimizer(residual, lmfit.create_params(a=4.0, tau=2.0))
    return minimizer.scalar_minimize(method=qnsolve.hybrid_tr, tol=1e-8)


def optimagic_algorithm() -> type:
    """Return the algorithm that `optimagic.minimize(..., algorithm=)` takes."""
    import optimagic
    from optimagic.optimization.algorithm import Algorithm, InternalOptimizeResult
    from optimagic.typing import AggregationLevel

    @optimagic.mark.minimizer(
        name="qnsolve_hybrid_tr",
        solver_type=AggregationLevel.SCALAR,
        is_available=True,
        is_global=False,
        needs_jac=True,
        needs_hess=False,
        needs_bounds=False,
        supports_parallelism=False,
        supports_bounds=True,
        supports_infinite_bounds=True,
        supports_linear_constraints=False,
        supports_nonlinear_constraints=False,
    )
    @dataclass(frozen=True)
    class HybridTR(Algorithm):
        """SR1 re-applied to the L-BFGS matrix, in a trust region."""

        convergence_gtol_abs: float = 1e-5
        stopping_maxiter: int = 10_000
        memory: int = 20

        def _solve_internal_problem(self, problem: Any, x0: np.ndarray) -> InternalOptimizeResult:
            low, high = problem.bounds.lower, problem.bounds.upper
            result = qnsolve.minimize(
                problem.fun_and_jac,
                x0,
                jac=True,
                bounds=Bounds(-np.inf if low is None else low, np.inf if high is None else high),
                options={
                    "gtol": self.convergence_gtol_abs,
                    "maxiter": self.stopping_maxiter,
                    "memory": self.memory,
                },
            )
            return InternalOptimizeResult(
                x=result.x,
                fun=result.fun,
                success=result.success,
                message=result.message,
                n_fun_evals=result.nfev,
                n_jac_evals=result.njev,
                n_iterations=result.nit,
                jac=result.jac,
            )

    return HybridTR


def acquisition(starts: int = 64, n: int = 2) -> qnsolve.ManyResult:
    """Return the maxima of an upper confidence bound from many starts, with gradients by PyTorch.

    As packages of Bayesian optimisation do it: all starts in one batch.  The points of the unit
    cube are u = sigmoid(x), so that x is free.
    """
    import torch

    torch.manual_seed(0)
    sites = torch.rand(20, n, dtype=torch.float64)
    values = torch.sin(6.0 * sites).sum(dim=1)
    noise = 1e-3 * torch.eye(len(sites), dtype=torch.float64)

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.exp(-0.5 * ((a[:, None, :] - b[None, :, :]) / 0.25).square().sum(dim=2))

    inverse = torch.linalg.inv(kernel(sites, sites) + noise)

    def fun(X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        X = X.requires_grad_()
        k = kernel(torch.sigmoid(X), sites)
        mean = k @ (inverse @ values)
        variance = 1.0 + 1e-3 - ((k @ inverse) * k).sum(dim=1)
        F = -(mean + 2.0 * variance.clamp(min=1e-12).sqrt())
        (G,) = torch.autograd.grad(F.sum(), X)
        return F, G

    return qnsolve.minimize_many(fun, torch.randn(starts, n, dtype=torch.float64))


def main() -> None:
    if importlib.util.find_spec("statsmodels"):
        fit, errors = statsmodels_logit()
        print("statsmodels:", fit.params.round(4), "+-", errors.errors.round(4))
    if importlib.util.find_spec("lmfit"):
        fit = lmfit_decay()
        print("lmfit:", {name: round(value, 4) for name, value in fit.params.valuesdict().items()})
    if importlib.util.find_spec("optimagic"):
        import optimagic

        found = optimagic.minimize(
            lambda x: float(x @ x), np.arange(4.0), algorithm=optimagic_algorithm()
        )
        print("optimagic:", found.fun)
    if importlib.util.find_spec("torch"):
        many = acquisition()
        print(f"acquisition: {-many.best.fun:.6f} in {many.calls} calls for {len(many.fun)} starts")


if __name__ == "__main__":
    main()
