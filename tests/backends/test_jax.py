"""JAX: immutable arrays, rows written in place all the same, and 32 bits unless told otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import qnsolve
from qnsolve.arrays import space_of

jax = pytest.importorskip("jax")
jnp = jax.numpy
jax.config.update("jax_enable_x64", True)


def test_rows_are_written_into_the_old_block():
    block = jnp.zeros((4, 100))
    space = space_of(block[0, :])
    place = block.unsafe_buffer_pointer()
    for i in (2, 0):
        old, block = block, space.set_row(block, i, jnp.full(100, float(i + 1)))
        assert old.is_deleted()
        assert block.unsafe_buffer_pointer() == place
    np.testing.assert_array_equal(np.asarray(block)[:, 0], [1.0, 0.0, 3.0, 0.0])


def test_value_and_grad():
    @jax.jit
    @jax.value_and_grad
    def rosenbrock(x):
        return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    result = qnsolve.minimize(rosenbrock, jnp.zeros(6), jac=True)
    assert result.success
    assert isinstance(result.x, jax.Array)
    assert result.x.dtype == jnp.float64
    np.testing.assert_allclose(result.x, 1.0, atol=1e-5)


def warnings_of(x0):
    """Return what a process in 32 bits says of a solve from `x0`, an expression."""
    code = f"""
import jax, jax.numpy as jnp, numpy as np, qnsolve
fun = jax.value_and_grad(lambda x: jnp.sum((x - 1.0) ** 2))
result = qnsolve.minimize(fun, {x0}, jac=True, options={{"gtol": 1e-3}})
assert result.success, result
print(result.x.dtype)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "JAX_ENABLE_X64": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if "RuntimeWarning: JAX is in 32" in line]
    return lines, done.stdout.strip()


def test_a_float32_gradient_at_a_float64_point_is_told():
    (line,), dtype = warnings_of("np.zeros(3)")
    assert "x has float64, the gradient float32" in line
    assert dtype == "float64"


def test_integers_that_become_float32_are_told():
    (line,), dtype = warnings_of("jnp.zeros(3, dtype=int)")
    assert "x0 becomes float32" in line
    assert dtype == "float32"


def test_float32_that_was_asked_for_is_not():
    assert warnings_of("jnp.zeros(3)") == ([], "float32")


def test_arrays_are_the_users():
    seen = []

    def fun(x):
        seen.append(x)
        return jnp.sum(jnp.cosh(x)), jnp.sinh(x)

    x0 = jnp.ones((2, 3), dtype=jnp.float32)
    result = qnsolve.minimize(fun, x0, jac=True, callback=seen.append)
    assert result.success
    for a in (*seen, result.x, result.jac):
        assert isinstance(a, jax.Array)
        assert (a.dtype, a.shape, a.devices()) == (x0.dtype, x0.shape, x0.devices())


@pytest.mark.parametrize("carried", [10**4, -1])
def test_a_function_may_be_given_the_memory_of_x(monkeypatch, carried):
    """On a GPU the memory is taken indeed, on a CPU only by some versions."""
    monkeypatch.setattr("qnsolve.arrays.border.CARRIED", carried)
    fun = jax.jit(lambda x: (jnp.sum(jnp.cosh(x)), jnp.sinh(x)), donate_argnums=0)
    assert qnsolve.minimize(fun, jnp.ones(6), jac=True).success


def test_the_way_to_a_gradient_is_shown():
    with pytest.raises(TypeError, match=r"x0 is of jax.*jax\.value_and_grad\(f\)"):
        qnsolve.minimize(lambda x: jnp.sum(x * x), jnp.ones(3))


def test_arrays_stay_on_their_device():
    """On the second of two CPUs, bound to it; on both of them they are computed with in JAX."""
    code = """
import jax, jax.numpy as jnp, numpy as np, qnsolve
from qnsolve.objective import Objective
first, second = jax.devices("cpu")
x0 = jax.device_put(np.ones(4, dtype=np.float32), second)
seen = []
def fun(x):
    seen.append(x.devices())
    return jnp.sum(jnp.cosh(x)), jnp.sinh(x)
result = qnsolve.minimize(fun, x0, jac=True)
assert result.success and set().union(*seen) == result.x.devices() == {second}
mesh = jax.sharding.Mesh(np.array([first, second]), "n")
spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("n"))
x0 = jax.device_put(np.ones(4, dtype=np.float32), spread)
assert not Objective(fun, x0, jac=True).space.on_host
assert Objective(fun, jnp.ones(4), jac=True).space.on_host
"""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **flags}, check=True)
