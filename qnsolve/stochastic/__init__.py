"""Training on mini-batches with limited-memory and Newton methods."""

from qnsolve.stochastic import presets
from qnsolve.stochastic.batches import MiniBatches
from qnsolve.stochastic.progress import Progress, TrainResult
from qnsolve.stochastic.step import StepInfo
from qnsolve.stochastic.training import make_solver, train

__all__ = ["MiniBatches", "Progress", "StepInfo", "TrainResult", "make_solver", "presets", "train"]
