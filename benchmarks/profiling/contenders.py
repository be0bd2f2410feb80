"""Solvers to compare, named on the command line as ``package:method:option=value,...``.

A method of qnsolve in capitals is a preset, ``qnsolve:SC_SR1``; ``norm=diagonal`` is the norm that
measures every variable in units of its start value, 1 where that is smaller.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy import optimize

import qnsolve
from benchmarks.profiling.measure import Meter
from examples.experiments.author_code import ARCS_AUTHOR_CODE
from qnsolve import presets
from qnsolve.methods import METHODS, TABLE
from qnsolve.norms import DiagonalNorm
from qnsolve.presets import Preset

PRESETS = {
    **{name: value for name, value in vars(presets).items() if isinstance(value, Preset)},
    "ARCS_AUTHOR_CODE": ARCS_AUTHOR_CODE,
}

# The meter holds the budget; the limits of the solvers themselves must not come before it.
NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class Contender:
    """A solver with its options.

    Parameters
    ----------
    package, method : str
        Where it comes from, and its name there.
    options : tuple of (str, object)
        Options that differ from the defaults of the comparison, sorted.

    Examples
    --------
    >>> parse_contender("scipy:L-BFGS-B:maxcor=20").label
    'scipy:L-BFGS-B:maxcor=20'
    """

    package: str
    method: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def label(self) -> str:
        """The name that `parse_contender` reads."""
        tail = ",".join(f"{name}={value}" for name, value in self.options)
        return ":".join(filter(None, (self.package, self.method, tail)))

    def missing(self) -> str | None:
        """Return why the solver cannot run here, None if it can."""
        try:
            importlib.import_module(PACKAGES[self.package].needs)
        except (ImportError, OSError, RuntimeError) as error:  # a missing shared library is any
            return f"{type(error).__name__}: {error}"
        return None

    def solve(self, meter: Meter, x0: np.ndarray, gtol: float) -> Mapping[str, Any]:
        """Minimise; the result has ``x``, ``message`` and, where known, ``nit``, ``nfev``."""
        return PACKAGES[self.package].run(meter, x0, gtol, self.method, dict(self.options))


def parse_contender(text: str) -> Contender:
    """Return the contender called `text`.

    Parameters
    ----------
    text : str
        ``package:method`` or ``package:method:option=value,option=value``; values are Python
        literals, or else strings.

    Raises
    ------
    ValueError
        If `text` has another form, or the package is unknown.

    Examples
    --------
    >>> parse_contender("qnsolve:lsr1-tr:memory=20").options
    (('memory', 20),)
    """
    package, method, tail = (*text.split(":", 2), "", "")[:3]
    if package not in PACKAGES or not method:
        raise ValueError(
            "a solver is named package:method or package:method:option=value,... "
            f"with package one of {', '.join(PACKAGES)}; got {text!r}"
        )
    options = {}
    for item in filter(None, tail.split(",")):
        name, equals, value = item.partition("=")
        if not (name and equals and value):
            raise ValueError(f"option=value is wanted in {text!r}, got {item!r}")
        options[name] = _literal(value)
    return Contender(package, method, tuple(sorted(options.items())))


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _qnsolve(
    meter: Meter, x0: np.ndarray, gtol: float, method: str, options: dict[str, Any]
) -> Mapping[str, Any]:
    if method in PRESETS:
        preset = PRESETS[method]
        method, options = preset.method, {**preset, **options}
    if options.get("norm") == "diagonal":
        options["norm"] = DiagonalNorm(1.0 / np.maximum(1.0, np.abs(x0)) ** 2)
    options = {"gtol": gtol, "maxiter": NO_LIMIT, **options}
    return qnsolve.minimize(
        meter.fun, x0, method=method, jac=meter.grad, bounds=_bounds(meter), options=options
    )


_SCIPY_DEFAULTS: dict[str, dict[str, Any]] = {
    "L-BFGS-B": {"maxcor": 10, "ftol": 0.0, "maxfun": NO_LIMIT},
    # Its own tests are in scaled variables, and would end runs far from the tolerance.
    "TNC": {"ftol": 0.0, "xtol": 0.0, "gtol": 0.0, "maxfun": NO_LIMIT},
    # The step test of trust-constr is on the radius; it would end runs far from the tolerance.
    "trust-constr": {"xtol": 1e-15},
}


def _scipy(
    meter: Meter, x0: np.ndarray, gtol: float, method: str, options: dict[str, Any]
) -> Mapping[str, Any]:
    options = {"gtol": gtol, "maxiter": NO_LIMIT, **_SCIPY_DEFAULTS.get(method, {}), **options}
    hess = optimize.SR1() if method == "trust-constr" else None
    if method == "TNC":
        del options["maxiter"]  # it is the other name of maxfun
    return optimize.minimize(
        meter.fun,
        x0,
        method=method,
        jac=meter.grad,
        hess=hess,
        bounds=_bounds(meter),
        options=options,
    )


def _bounds(meter: Meter) -> optimize.Bounds | None:
    return None if meter.box is None else optimize.Bounds(*meter.box)


def _refuse_bounds(meter: Meter, package: str) -> None:
    if meter.box is not None:
        raise ValueError(f"{package} is not called with bounds here")


def _torchmin(
    meter: Meter, x0: np.ndarray, gtol: float, method: str, options: dict[str, Any]
) -> Mapping[str, Any]:
    import torch
    import torchmin

    _refuse_bounds(meter, "torchmin")

    class Value(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.tensor(meter.fun(x.detach().numpy()), dtype=torch.float64)

        @staticmethod
        def backward(ctx: Any, weight: Any) -> Any:
            (x,) = ctx.saved_tensors
            return weight * torch.from_numpy(meter.grad(x.detach().numpy()))

    # Only these two have a test on the step as well.
    step_test = {"xtol": 0.0} if method in ("bfgs", "l-bfgs") else {}
    options = {"gtol": gtol, "max_iter": NO_LIMIT, **step_test, **options}
    result = torchmin.minimize(Value.apply, torch.from_numpy(x0), method, options=options)
    return {**result, "x": result.x.detach().numpy()}


def _galahad(
    meter: Meter, x0: np.ndarray, gtol: float, method: str, options: dict[str, Any]
) -> Mapping[str, Any]:
    """Run TRU, which is given the exact Hessian: its gradient-only models do not get far."""
    if method != "tru":
        raise ValueError(f"the method of galahad is tru, got {method!r}")
    from galahad import tru

    _refuse_bounds(meter, "galahad")
    n = x0.size
    lower = np.tril_indices(n)
    settings = tru.initialize()
    settings |= {
        "print_level": 0,
        "maxit": NO_LIMIT,
        "stop_g_absolute": gtol,
        "stop_g_relative": 0.0,
        **options,
    }
    tru.load(n, "dense", lower[0].size, None, None, None, settings)
    x, _ = tru.solve(n, lower[0].size, x0, meter.fun, meter.grad, lambda x: meter.hess(x)[lower])
    inform = tru.information()
    tru.terminate()
    return {
        "x": x,
        "message": f"status {inform['status']}",
        "nit": inform["iter"],
        "nfev": inform["f_eval"],
        "njev": inform["g_eval"],
    }


def _petsc(
    meter: Meter, x0: np.ndarray, gtol: float, method: str, options: dict[str, Any]
) -> Mapping[str, Any]:
    """Run a solver of TAO, such as bqnktr; options are those of PETSc's command line."""
    from petsc4py import PETSc

    _refuse_bounds(meter, "petsc")

    def fun_and_grad(tao: Any, x: Any, g: Any) -> float:
        point = x.getArray(readonly=True)
        g.setArray(meter.grad(point))
        return meter.fun(point)

    for name, value in options.items():
        PETSc.Options().setValue(name, value)
    x = PETSc.Vec().createWithArray(x0.copy(), comm=PETSc.COMM_SELF)
    tao = PETSc.TAO().create(PETSc.COMM_SELF)
    tao.setType(method)
    tao.setObjectiveGradient(fun_and_grad, x.duplicate())
    # TAO measures the gradient in the Euclidean norm, which is at least the largest component.
    tao.setTolerances(gatol=gtol, grtol=0.0, gttol=0.0)
    tao.setMaximumIterations(NO_LIMIT)
    tao.setMaximumFunctionEvaluations(NO_LIMIT)
    tao.setFromOptions()
    tao.solve(x)
    return {
        "x": x.getArray().copy(),
        "message": f"converged reason {tao.getConvergedReason()}",
        "nit": tao.getIterationNumber(),
    }


@dataclass(frozen=True)
class _Package:
    needs: str
    run: Callable[..., Mapping[str, Any]]


PACKAGES: Mapping[str, _Package] = MappingProxyType(
    {
        "qnsolve": _Package("qnsolve", _qnsolve),
        "scipy": _Package("scipy", _scipy),
        "torchmin": _Package("torchmin", _torchmin),
        "galahad": _Package("galahad.tru", _galahad),
        "petsc": _Package("petsc4py.PETSc", _petsc),
    }
)

REFERENCE = "scipy:L-BFGS-B"
BOUNDED_CONTENDERS = (
    REFERENCE,
    "scipy:L-BFGS-B:maxcor=20",
    "scipy:TNC",
    "scipy:trust-constr",
    *(f"qnsolve:{name}" for name, method in TABLE.items() if method.takes_bounds),
)
DEFAULT_CONTENDERS = (
    REFERENCE,
    "scipy:L-BFGS-B:maxcor=20",
    "scipy:BFGS",
    "scipy:CG",
    "scipy:trust-constr",
    *(f"qnsolve:{method}" for method in METHODS),
    *(f"qnsolve:{method}:memory=20" for method in METHODS if method != "newton-tr"),
    "torchmin:l-bfgs:history_size=10",
    "galahad:tru",
    "petsc:bqnktr",
)
