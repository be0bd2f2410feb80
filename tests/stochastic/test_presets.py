"""Every preset is complete, runs, and is what it says."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from qnsolve.presets import Preset
from qnsolve.stochastic import MiniBatches, make_solver, presets, train
from qnsolve.stochastic.training import METHODS
from tests.stochastic.problems import net_loss, samples, start
from tests.tolerances import EPS

PRESETS = {name: p for name, p in vars(presets).items() if isinstance(p, Preset)}


@pytest.mark.parametrize("name", PRESETS)
def test_lowers_the_loss(name):
    preset = PRESETS[name]
    batches = MiniBatches(*samples(), batch_size=60)
    result = train(net_loss, start(), batches, method=preset.method, epochs=30, **preset)
    before, after = (net_loss(x, samples())[0] for x in (start(), result.params))
    assert after < before


@pytest.mark.parametrize("name", PRESETS)
def test_names_options_of_its_method(name):
    preset = PRESETS[name]
    assert set(preset) <= {option.name for option in fields(METHODS[preset.method][0])}


def test_first_step_of_algorithm_1_has_the_length_of_the_gradient():
    preset = presets.RAMAMURTHY_DUFFY
    solver = make_solver(preset.method, **preset)
    f = lambda x: net_loss(x, samples())  # noqa: E731
    _, info = solver.step(solver.init(start()), f)
    _, g = f(start())
    assert info.length == pytest.approx(np.linalg.norm(g), rel=64 * EPS)
