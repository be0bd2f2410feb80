"""The methods as an optimizer of PyTorch's own form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from qnsolve.arrays import Array, to_host
from qnsolve.stochastic.border import Border
from qnsolve.stochastic.step import StepInfo
from qnsolve.stochastic.training import make_solver

_ON_HOST = ("gram", "order", "ratios")
"""Entries of a solver's state that are host arrays, whatever device the parameters are on."""


class LSR1(torch.optim.Optimizer):
    """Quasi-Newton training steps, each on the batch of its closure.

    Parameters
    ----------
    params : iterable of Tensor
        One group, of one dtype and device.
    method : str
        As for :func:`qnsolve.stochastic.train`.
    buffers : iterable of Tensor, optional
        ``model.buffers()`` of a model with batch norm: they are put back before every evaluation of
        the closure, so that a step changes them once, and a rejected one not at all.
    **options
        Those of the method.  `overlap` has no effect: a closure is one batch.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described.

    Notes
    -----
    As with ``torch.optim.LBFGS``, the closure clears the gradients, computes the loss, calls
    ``backward`` and returns the loss; all its calls within one step must see the same batch.  A
    step calls it twice: at its beginning and at its end.  :func:`qnsolve.stochastic.train` needs
    fewer gradients, as it uses each batch in two steps.

    Examples
    --------
    >>> import torch
    >>> from qnsolve.stochastic.torch_optim import LSR1
    >>> net = torch.nn.Linear(2, 1)
    >>> X = torch.eye(2)
    >>> optimizer = LSR1(net.parameters())
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

    def __init__(
        self,
        params: Iterable[Tensor],
        method: str = "hybrid-tr",
        *,
        buffers: Iterable[Tensor] | None = None,
        **options: Any,
    ) -> None:
        self._solver = make_solver(method, **options)
        super().__init__(params, {})
        if len(self.param_groups) != 1:
            raise ValueError(
                f"LSR1 takes one group of parameters, got {len(self.param_groups)}: its steps are "
                "of all of them at once"
            )
        self._params = [p for p in self.param_groups[0]["params"] if p.requires_grad]
        check_alike(self._params)
        self._border = Border(self._params[0].detach().reshape(-1))
        self._buffers = list(buffers or ())
        self._run: Any = None
        self.info: StepInfo | None = None

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """Do one step on the batch of `closure`; return its loss at the beginning.

        What the step did is the attribute `info`, a :class:`qnsolve.stochastic.StepInfo`.
        """
        if closure is None:
            raise TypeError("LSR1.step needs a closure that computes the loss and its gradient")
        inside, outside, now = self._border.inside, self._border.outside, self._vector()
        if self._run is None:
            self._run = self._solver.init(inside(now))
        elif not torch.equal(outside(self._run.x), now):
            # Somebody else has written to the parameters, say with load_state_dict.
            self._run.x = inside(now)
        before = [buffer.clone() for buffer in self._buffers]
        after: list[tuple[Array, list[Tensor]]] = []
        first: list[Tensor] = []

        def value_and_grad(x: Array) -> tuple[float, Array]:
            self._write(outside(x))
            _copy(before, self._buffers)
            with torch.enable_grad():
                loss = closure()
            first.append(loss.detach())
            after.append((x, [buffer.clone() for buffer in self._buffers]))
            return float(loss.detach()), inside(self._gradient())

        self._run, self.info = self._solver.step(self._run, value_and_grad)
        x = self._run.x
        self._write(outside(x))
        _copy(next((b for point, b in reversed(after) if point is x), before), self._buffers)
        return first[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and numbers."""
        saved = None if self._run is None else _as_tensors(self._solver.snapshot(self._run))
        return {**super().state_dict(), "solver": saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to a state of an optimizer with the same arguments."""
        given = dict(state_dict)
        saved = given.pop("solver")
        super().load_state_dict(given)
        self._run = None if saved is None else self._solver.restore(self._as_state(saved))

    def _vector(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self._params])

    def _gradient(self) -> Tensor:
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._params]
        return torch.cat([piece.detach().reshape(-1) for piece in pieces])

    @torch.no_grad()
    def _write(self, x: Tensor) -> None:
        for p, piece in zip(self._params, x.split([p.numel() for p in self._params]), strict=True):
            p.copy_(piece.view_as(p))

    def _as_state(self, saved: Any, name: str = "") -> Any:
        """Return a saved state with its tensors where the solver wants them."""
        if isinstance(saved, dict):
            return {key: self._as_state(value, key) for key, value in saved.items()}
        if not isinstance(saved, Tensor):
            return saved
        if name in _ON_HOST:
            return to_host(saved)
        return self._border.inside(saved.to(self._params[0]))


def check_alike(params: list[Tensor]) -> None:
    """Refuse parameters that do not fit into one vector."""
    if not params:
        raise ValueError("there is no parameter with requires_grad")
    kinds = sorted({f"{p.dtype} on {p.device}" for p in params})
    if len(kinds) > 1:
        raise ValueError(f"the parameters must have one dtype and device, got {kinds}")


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for value, buffer in zip(source, target, strict=True):
        buffer.copy_(value)


def _as_tensors(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _as_tensors(value) for key, value in tree.items()}
    is_array = hasattr(tree, "dtype") and not isinstance(tree, Tensor)
    return torch.as_tensor(tree).clone() if is_array else _cloned(tree)


def _cloned(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
