"""PyTorch: tensors that record gradients, and modules' parameters as a start."""

from __future__ import annotations

import numpy as np
import pytest

import qnsolve

torch = pytest.importorskip("torch")


def rosenbrock(x):
    return torch.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def by_autograd(x):
    x.requires_grad_(True)
    f = rosenbrock(x)
    (g,) = torch.autograd.grad(f, x)
    return f, g


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls", "newton-tr"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_that_require_gradients(method, dtype):
    x0 = torch.zeros(4, dtype=dtype, requires_grad=True)
    result = qnsolve.minimize(by_autograd, x0, jac=True, method=method)
    assert result.success
    assert result.x.dtype == result.jac.dtype == dtype
    assert not (result.x.requires_grad or result.jac.requires_grad)
    assert x0.requires_grad and bool((x0 == 0.0).all())
    np.testing.assert_allclose(result.x.numpy(), 1.0, atol=1e-4 if dtype == torch.float64 else 0.3)


def test_a_value_that_requires_gradients():
    result = qnsolve.minimize(
        lambda x: rosenbrock(x.requires_grad_(True)),
        torch.zeros(4, dtype=torch.float64),
        jac=lambda x: by_autograd(x)[1],
    )
    assert result.success
