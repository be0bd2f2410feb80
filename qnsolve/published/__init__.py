"""What is transcribed from publications and has no other use than the presets that name it."""

from qnsolve.published.dense_lbfgs import DenseLBFGS
from qnsolve.published.first_steps import DoublingSearch, WolfeSearch
from qnsolve.published.pairs import RamamurthyDuffyLSR1, ScLSR1

__all__ = ["DenseLBFGS", "DoublingSearch", "RamamurthyDuffyLSR1", "ScLSR1", "WolfeSearch"]
