"""The methods as an optimizer of PyTorch's own form."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qnsolve.arrays import Array
from qnsolve.arrays.border import Border
from qnsolve.checks import scalar
from qnsolve.norms import options_inside
from qnsolve.stochastic.options import NewtonStepOptions
from qnsolve.stochastic.step import StepInfo
from qnsolve.stochastic.training import make_solver

DTYPES = (torch.float32, torch.float64)
"""Dtypes of parameters; narrower ones have too few digits for differences of gradients."""

REPEATABLE = 1e3
"""Two values of f at one x may differ by so many eps: rounding, where threads race to add up."""

NUMPY = "numpy array"
"""Key of a tensor that was a NumPy array; other tensors are vectors on the parameters' device."""

SURELY_NO_HOST_ARRAY = 1000
"""Number of parameters in float64 from which no array of the host is as long as a vector."""


class Group(dict[str, Any]):
    """A group of parameters, which says to schedulers that it has no learning rate."""

    def __missing__(self, key: str) -> Any:
        if key == "lr":
            raise TypeError(
                "QuasiNewton has no learning rate for a scheduler to change: its steps have the "
                "length that the model has earned; initial_rate is that of the first"
            )
        raise KeyError(key)


class QuasiNewton(torch.optim.Optimizer):
    """Quasi-Newton training steps, each on the batch of its closure.

    Parameters
    ----------
    params : iterable of Tensor
        One group, of one dtype, float32 or float64, and one device.
    method : {"hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls"}
        As for :func:`qnsolve.stochastic.train`.
    buffers : iterable of Tensor, optional
        ``model.buffers()`` of a model with batch norm: they are put back before every evaluation of
        the closure, so that a step changes them once, and a rejected one not at all.
    **options
        Those of the method, but for those that act between batches, such as `pivot_every`: a
        closure is one batch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, or "newton-tr" is asked for: a closure gives no
        products with the Hessian.

    Warns
    -----
    RuntimeWarning
        At the first step, if two calls of the closure at the same parameters give two losses, as
        with dropout: then no ratio of reductions means anything.

    Notes
    -----
    As with ``torch.optim.LBFGS``, the closure clears the gradients, computes the loss, calls
    ``backward`` and returns the loss; all its calls within one step must see the same batch.  A
    step calls it twice: at its beginning and at its end; the first step, once more.
    :func:`qnsolve.stochastic.train` needs fewer gradients, as it uses each batch in two steps.

    What the closure raises comes through, with the parameters and buffers as they were before the
    step.

    Examples
    --------
    >>> import torch
    >>> from qnsolve.stochastic.torch_optim import QuasiNewton
    >>> net = torch.nn.Linear(2, 1)
    >>> X = torch.eye(2)
    >>> optimizer = QuasiNewton(net.parameters())
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = torch.nn.functional.mse_loss(net(X).sum(1), torch.tensor([1.0, 2.0]))
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(30):
    ...     loss = optimizer.step(closure)
    >>> closure().item() < 1e-3
    True
    """

    param_groups: list[dict[str, Any]]

    def __init__(
        self,
        params: Iterable[Tensor],
        method: str = "hybrid-tr",
        *,
        buffers: Iterable[Tensor] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(params, {})
        self._begin(method, options, list(buffers or ()))

    def _begin(self, method: str, options: dict[str, Any], buffers: list[Tensor]) -> None:
        self._method, self._options, self._buffers = method, options, buffers
        self._params = [p for p in self.param_groups[0]["params"] if p.requires_grad]
        check_alike(self._params)
        if self._params[0].dtype not in DTYPES:
            raise ValueError(
                f"the parameters must be float32 or float64, got {self._params[0].dtype}"
            )
        like, size = self._params[0].detach(), sum(p.numel() for p in self._params)
        self._border = Border(like.reshape(-1), size)
        self._in_numpy = isinstance(self._border.inside(self._vector()), np.ndarray)
        self._solver = make_solver(method, **options_inside(options, self._border))
        if isinstance(self._solver.options, NewtonStepOptions):
            raise ValueError(
                f"{method} needs products with the Hessian, which a closure does not give; "
                "use qnsolve.stochastic.train"
            )
        for name, neutral in self._solver.options.BETWEEN_BATCHES.items():
            if options.get(name, neutral) != neutral:
                raise ValueError(
                    f"{name} acts between batches, a closure is one; use qnsolve.stochastic.train"
                )
        self._run: Any = None
        self.info: StepInfo | None = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuse a second group of parameters."""
        if self.param_groups:
            raise ValueError(
                "QuasiNewton takes one group of parameters: its steps are of all of them at once"
            )
        for name in param_group:
            if name not in ("params", "param_names"):
                raise TypeError(f"a group of QuasiNewton has no option {name!r}; give it params")
        super().add_param_group(Group(param_group))

    def step(self, closure: Callable[[], Any]) -> Any:
        """Do one step on the batch of `closure`; return its loss at the beginning.

        What the step did is the attribute `info`, a :class:`qnsolve.stochastic.StepInfo`.
        """
        if closure is None:
            raise TypeError(
                "QuasiNewton.step needs a closure that computes the loss and its gradient"
            )
        inside, outside, now = self._border.inside, self._border.outside, self._vector()
        before = [buffer.clone() for buffer in self._buffers]
        after: list[tuple[Array, list[Tensor]]] = []
        losses: list[Any] = []

        def value_and_grad(x: Array) -> tuple[float, Array]:
            self._write(outside(x))
            _copy(before, self._buffers)
            with torch.enable_grad():
                loss = closure()
            losses.append(loss.detach() if isinstance(loss, Tensor) else loss)
            after.append((x, [buffer.clone() for buffer in self._buffers]))
            return _number(losses[-1]), inside(self._gradient())

        run, x = self._run, inside(now)
        try:
            if run is None:
                run = self._solver.init(x)
                value_and_grad(x)
            elif not torch.equal(outside(run.x), now):
                # Somebody else has written to the parameters, say with load_state_dict.
                run.x = x
            run, info = self._solver.step(run, value_and_grad)
            if self._run is None:
                first, again = map(_number, losses[:2])
                warn_if_random(first, again, self._params[0].dtype, "calls of the closure")
        except BaseException:
            self._write(now)
            _copy(before, self._buffers)
            raise
        self._run, self.info, x = run, info, run.x
        self._write(outside(x))
        _copy(next((b for point, b in reversed(after) if point is x), before), self._buffers)
        return losses[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain values."""
        return {**super().state_dict(), "solver": {**self._identity(), "run": self._saved_run()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to a state of an optimizer with the same arguments, on any device.

        Raises
        ------
        ValueError
            If it is of another kind of optimizer, another method, or other parameters.
        """
        given = dict(state_dict) if isinstance(state_dict, Mapping) else {}
        saved = given.pop("solver", None)
        if saved is None:
            raise ValueError("this is no state of a QuasiNewton")
        for name, value in self._identity().items():
            if saved[name] != value:
                raise ValueError(
                    f"the state was saved with {name} = {saved[name]!r}, here it is {value!r}"
                )
        run = self._restored_run(saved["run"])
        super().load_state_dict(given)
        self.param_groups = [Group(group) for group in self.param_groups]
        self._run = run

    def __getstate__(self) -> dict[str, Any]:
        own = {"method": self._method, "options": self._options, "buffers": self._buffers}
        return {**super().__getstate__(), "own": (own, self._saved_run(), self.info)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        given = dict(state)
        copied = given.pop("own", None)
        super().__setstate__(given)
        if copied is not None:  # else load_state_dict has called
            own, saved, info = copied
            self._begin(**own)
            self._run, self.info = self._restored_run(saved), info

    def _identity(self) -> dict[str, Any]:
        """Return what a state must share with the optimizer that takes it."""
        sizes = [p.numel() for p in self._params]
        return {"method": self._method, "sizes": sizes, "dtype": str(self._params[0].dtype)}

    def _saved_run(self) -> Any:
        run = None if self._run is None else _as_tensors(self._run.snapshot())
        return run and {"computed_in_numpy": self._in_numpy, "state": run}

    def _restored_run(self, saved: Any) -> Any:
        if saved is None:
            return None
        moved = saved["computed_in_numpy"] and not self._in_numpy
        size, like = sum(p.numel() for p in self._params), self._params[0]
        if moved and like.dtype == torch.float64 and size < SURELY_NO_HOST_ARRAY:
            raise ValueError(
                "the state of so few parameters in float64 cannot go from the CPU to another device"
            )

        def restored(tree: Any) -> Any:
            if isinstance(tree, Tensor):
                return self._border.inside(tree.to(like.device, copy=True))
            if not isinstance(tree, dict):
                return tree
            if tree.keys() != {NUMPY}:
                return {key: restored(value) for key, value in tree.items()}
            array = tree[NUMPY].cpu()
            is_vector = array.dtype == like.dtype and array.shape[-1:] == (size,)
            # Of a state in NumPy alone, vectors are told by their length.
            return array.to(like.device) if moved and is_vector else array.numpy().copy()

        return self._solver.restore(restored(saved["state"]))

    def _vector(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self._params])

    def _gradient(self) -> Tensor:
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._params]
        return torch.cat([piece.detach().to_dense().reshape(-1) for piece in pieces])

    @torch.no_grad()
    def _write(self, x: Tensor) -> None:
        for p, piece in zip(self._params, x.split([p.numel() for p in self._params]), strict=True):
            p.copy_(piece.view_as(p))


def check_alike(params: list[Tensor]) -> None:
    """Refuse parameters that do not fit into one vector."""
    if not params:
        raise ValueError("there is no parameter with requires_grad")
    kinds = sorted({f"{p.dtype} on {p.device}" for p in params})
    if len(kinds) > 1:
        raise ValueError(f"the parameters must have one dtype and device, got {kinds}")


def warn_if_random(f: float, again: float, dtype: torch.dtype, what: str) -> None:
    """Warn where two values at the same parameters, of which `what` says whose, differ."""
    if abs(f - again) > REPEATABLE * torch.finfo(dtype).eps * max(abs(f), abs(again)):
        warnings.warn(
            f"two {what} at the same parameters gave {f!r} and {again!r}; turn off dropout, and "
            "let every call within a step see the same batch",
            RuntimeWarning,
            stacklevel=4,
        )


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for value, buffer in zip(source, target, strict=True):
        buffer.copy_(value)


def _number(loss: Any) -> float:
    number = scalar(loss)
    if isinstance(number, bool) or not isinstance(number, Real):
        raise TypeError(f"the closure must return the loss, one real number, got {loss!r}")
    return float(number)


def _as_tensors(tree: Any) -> Any:
    """Return a tree of plain values and tensors, those that were NumPy arrays marked as such."""
    if isinstance(tree, dict):
        return {key: _as_tensors(value) for key, value in tree.items()}
    if isinstance(tree, np.ndarray):
        return {NUMPY: torch.as_tensor(tree).clone()}
    return tree.clone() if isinstance(tree, Tensor) else scalar(tree)
