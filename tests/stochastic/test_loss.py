"""Any callable is a loss; what it has beside the call is used."""

from __future__ import annotations

import numpy as np
import pytest

from qnsolve.stochastic.loss import MEMBERS, Loss, PlainLoss, as_loss


def squares(x, batch):
    return x @ x, 2.0 * x


def test_a_function_keeps_nothing():
    loss = as_loss(squares)
    assert isinstance(loss, PlainLoss) and isinstance(loss, Loss)
    assert loss(np.ones(2), None)[0] == 2.0
    assert loss.value is None and loss.snapshot() == {}
    loss.moved(np.ones(2))
    loss.restore({})


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_of_its_own_is_used_and_the_others_are_supplied(name):
    def own(*args):
        return name

    def given(x, batch):
        return squares(x, batch)

    setattr(given, name, own)
    loss = as_loss(given)
    assert getattr(loss, name) is own
    assert isinstance(loss, Loss)


def test_a_loss_with_all_members_is_taken_as_it_is():
    loss = PlainLoss(squares)
    assert as_loss(loss) is loss
    torch = pytest.importorskip("torch")
    from qnsolve.stochastic.torch_adapter import ModuleLoss

    module = ModuleLoss(torch.nn.Linear(2, 1), torch.nn.functional.mse_loss)
    assert as_loss(module) is module
