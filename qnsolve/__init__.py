"""Limited-memory quasi-Newton minimisation that uses negative curvature."""

from qnsolve import presets, stochastic, verify
from qnsolve._version import __version__
from qnsolve.ask_tell import Solver
from qnsolve.curvature import StandardErrors, standard_errors
from qnsolve.interface import minimize
from qnsolve.krylov.gltr import gltr, lanczos_cubic
from qnsolve.krylov.model import KrylovResult
from qnsolve.krylov.steihaug import steihaug_cg
from qnsolve.many import ManyResult, minimize_many
from qnsolve.methods import hybrid_tr, lsr1_arc, lsr1_ls, lsr1_tr, newton_tr
from qnsolve.norms import DiagonalNorm
from qnsolve.quasi_newton.base import UpdateStatus
from qnsolve.quasi_newton.hybrid import HybridLSR1
from qnsolve.quasi_newton.lbfgs import LBFGS
from qnsolve.quasi_newton.lsr1 import LSR1
from qnsolve.quasi_newton.scaled import ScaledMatrix
from qnsolve.quasi_newton.scipy_adapters import (
    HybridLSR1Strategy,
    LBFGSStrategy,
    LSR1Strategy,
    as_linear_operator,
)
from qnsolve.quasi_newton.spectrum import PartialSpectrum
from qnsolve.result import Status
from qnsolve.solve import solve_cubic, solve_trs
from qnsolve.solvers.handover import State
from qnsolve.subproblem.certificate import Certificate
from qnsolve.subproblem.model import QuadraticModel, SubproblemResult
from qnsolve.subproblem.types import SubproblemStatus

__all__ = [
    "LBFGS",
    "LSR1",
    "Certificate",
    "DiagonalNorm",
    "HybridLSR1",
    "HybridLSR1Strategy",
    "KrylovResult",
    "LBFGSStrategy",
    "LSR1Strategy",
    "ManyResult",
    "PartialSpectrum",
    "QuadraticModel",
    "ScaledMatrix",
    "Solver",
    "StandardErrors",
    "State",
    "Status",
    "SubproblemResult",
    "SubproblemStatus",
    "UpdateStatus",
    "__version__",
    "as_linear_operator",
    "gltr",
    "hybrid_tr",
    "lanczos_cubic",
    "lsr1_arc",
    "lsr1_ls",
    "lsr1_tr",
    "minimize",
    "minimize_many",
    "newton_tr",
    "presets",
    "solve_cubic",
    "solve_trs",
    "standard_errors",
    "steihaug_cg",
    "stochastic",
    "verify",
]
