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


METHODS = ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls", "newton-tr"]
D = torch.linspace(1.0, 5.0, 6, dtype=torch.float64).reshape(2, 3)


def bowl(x):
    return (D * x * x / 2 - torch.cos(x)).sum(), D * x + torch.sin(x)


def host_bowl(x):
    d = D.numpy()
    return np.sum(d * x * x / 2 - np.cos(x)), d * x + np.sin(x)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_is_that_of_numpy_and_the_arrays_are_the_users(method):
    x0, seen = torch.ones(2, 3, dtype=torch.float64), []

    def fun(x):
        seen.append(x)
        return bowl(x)

    result = qnsolve.minimize(fun, x0, jac=True, method=method, callback=seen.append)
    plain = qnsolve.minimize(host_bowl, np.ones((2, 3)), jac=True, method=method)
    assert result.success and abs(result.nit - plain.nit) <= 3
    np.testing.assert_allclose(result.x.numpy(), plain.x, atol=1e-5)
    for a in (*seen, result.x, result.jac):
        assert type(a) is torch.Tensor
        assert (a.dtype, a.shape, str(a.device)) == (x0.dtype, x0.shape, "cpu")
    memory = [a.untyped_storage().data_ptr() for a in (*seen, result.x, result.jac, x0)]
    assert len(set(memory)) == len(memory)


@pytest.mark.parametrize("method", METHODS)
def test_nobody_else_writes_to_the_memory_of_a_run(method):
    """Neither x, nor a gradient that is used again, nor what a callback is shown."""
    buffer = torch.empty(2, 3, dtype=torch.float64)

    def fun(x):
        f, g = bowl(x)
        buffer.copy_(g)
        x.zero_()
        return f, buffer

    def callback(intermediate_result):
        intermediate_result.x.fill_(7.0)
        intermediate_result.jac.fill_(7.0)

    x0 = torch.ones(2, 3, dtype=torch.float64)
    result = qnsolve.minimize(fun, x0, jac=True, method=method, callback=callback)
    plain = qnsolve.minimize(bowl, x0, jac=True, method=method)
    assert bool((result.x == plain.x).all()) and bool((x0 == 1.0).all())


def test_hessians_norms_and_odd_gradients_in_tensors():
    x0 = torch.ones(6, dtype=torch.float32)
    d = D.reshape(-1).to(torch.float32)
    forms = [
        lambda g: g.to(torch.float64),
        lambda g: g.to(torch.bfloat16),
        lambda g: torch._neg_view(-g),
        lambda g: g.reshape(-1, 1).requires_grad_(),
        lambda g: torch.complex(g, torch.zeros_like(g)).conj(),
        lambda g: g.numpy(),
    ]
    for form in forms:
        result = qnsolve.minimize(
            lambda x, form=form: ((d * x * x).sum() / 2, form(d * x)),
            x0,
            jac=True,
            method="newton-tr",
            hess=lambda x: torch.diag(d),
            options={"norm": qnsolve.DiagonalNorm(d), "gtol": 1e-2},
        )
        assert result.success and result.x.dtype == torch.float32


def test_in_inference_mode():
    with torch.inference_mode():
        x0 = torch.ones(2, 3, dtype=torch.float64)
        assert qnsolve.minimize(bowl, x0, jac=True).success
    assert qnsolve.minimize(bowl, x0, jac=True).success


def test_a_checkpoint_of_tensors_is_none_of_numpy(tmp_path):
    path, x0 = tmp_path / "run.npz", torch.ones(2, 3, dtype=torch.float64)
    whole = qnsolve.minimize(bowl, x0, jac=True)
    qnsolve.minimize(bowl, x0, jac=True, options={"checkpoint": path, "maxiter": 3})
    with pytest.raises(ValueError, match=r"a run with dtype = 'torch\.float64', this one has"):
        qnsolve.minimize(host_bowl, x0.numpy(), jac=True, options={"checkpoint": path})
    resumed = qnsolve.minimize(bowl, x0, jac=True, options={"checkpoint": path})
    assert bool((resumed.x == whole.x).all())


@pytest.mark.parametrize("jac", [None, "3-point"])
def test_the_way_to_a_gradient_is_shown(jac):
    with pytest.raises(
        TypeError, match=r"x0 is of torch; .*torch\.func\.grad_and_value\(f\)\(x\)\[::-1"
    ):
        qnsolve.minimize(rosenbrock, torch.zeros(4), jac=jac)
    turned = torch.func.grad_and_value(rosenbrock)
    with pytest.raises(TypeError, match=r"got \(g, f\).*turn it round by \[::-1\]"):
        qnsolve.minimize(turned, torch.zeros(4), jac=True)
    x0 = torch.zeros(4, dtype=torch.float64)
    assert qnsolve.minimize(lambda x: turned(x)[::-1], x0, jac=True).success
