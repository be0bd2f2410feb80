"""PyTorch modules for :func:`qnsolve.stochastic.train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from qnsolve.checks import NOT_NEGATIVE_FINITE, at_least
from qnsolve.stochastic.torch_optim import check_alike, warn_if_random

DROPOUT: dict[type, Callable[[Any], float]] = {
    torch.nn.modules.dropout._DropoutNd: lambda layer: layer.p,
    torch.nn.RNNBase: lambda layer: layer.dropout if layer.num_layers > 1 else 0.0,
    torch.nn.MultiheadAttention: lambda layer: layer.dropout,
}
"""Layers that may drop out, and their rate; a recurrent one has it between its layers only."""


class ModuleLoss:
    r"""The loss of a module as a function of one flat vector of parameters.

    .. math:: f(x) = \ell(\mathrm{module}_x(\text{inputs}), \text{target}) + \tfrac{w}{2} \|x\|^2

    Parameters
    ----------
    module : torch.nn.Module
        Parameters without ``requires_grad`` stay as they are.
    loss : callable
        ``loss(output, target)``, a mean over the samples.
    weight_decay : float, >= 0
        w.
    chunk : int, >= 1, optional
        Evaluate a batch in parts of so many samples and take the mean: for memory, and for batch
        norm, whose statistics are then those of a part (ghost batches).

    Raises
    ------
    TypeError, ValueError
        If an argument is not of the kind described, if the parameters are not all of one dtype and
        device, or if dropout is active: the two ends of a step would be values of two functions.
        ``module.eval()``, or p = 0, turns it off.

    Warns
    -----
    RuntimeWarning
        If the first evaluation gives another loss when it is made again, without a graph, as with
        ``torch.nn.functional.dropout``, which no layer tells of.

    Notes
    -----
    *Batches* are tuples (inputs..., target), such as those of MiniBatches or of a DataLoader.

    *Buffers.*  Layers such as batch norm in training mode normalise with the statistics of the
    batch, and also keep running averages of them.  An evaluation works on a copy of these buffers;
    those of the end of a step are kept when the step is taken, so that trial points that are
    rejected leave no trace.

    On few cores ``torch.set_num_threads(1)`` is often the fastest for nets as small as this is for.

    Examples
    --------
    >>> import torch
    >>> from qnsolve.stochastic import MiniBatches, train
    >>> from qnsolve.stochastic.torch_adapter import ModuleLoss
    >>> generator = torch.Generator().manual_seed(0)
    >>> X = torch.randn(200, 3, generator=generator)
    >>> net = torch.nn.Linear(3, 1)
    >>> loss = ModuleLoss(net, torch.nn.functional.mse_loss)
    >>> batches = MiniBatches(X, X.sum(1, keepdim=True), batch_size=50)
    >>> result = train(loss, loss.params(), batches, epochs=20)
    >>> loss.load(result.params)
    >>> bool((net.weight - 1.0).abs().max() < 1e-2)
    True
    """

    def __init__(
        self,
        module: torch.nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        weight_decay: float = 0.0,
        chunk: int | None = None,
    ) -> None:
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
        if not callable(loss):
            raise TypeError(f"loss must be callable, got {type(loss).__name__}")
        for name, layer in module.named_modules():
            rates = [rate(layer) for kind, rate in DROPOUT.items() if isinstance(layer, kind)]
            if layer.training and any(rates):
                raise ValueError(
                    f"dropout is active in {name or 'the module'}; set its rate to 0 or call "
                    "eval(), as both ends of a step must see the same function"
                )
        self.module = module
        self._loss = loss
        self._weight_decay = NOT_NEGATIVE_FINITE(weight_decay, "weight_decay")
        self._chunk = at_least(1).or_none()(chunk, "chunk")
        named = {n: p for n, p in module.named_parameters() if p.requires_grad}
        check_alike(list(named.values()))
        self._names = list(named)
        self._shapes = [p.shape for p in named.values()]
        self._sizes = [p.numel() for p in named.values()]
        self._buffers = {name: b.detach().clone() for name, b in module.named_buffers()}
        self._has_been_checked = False
        # Buffers as they were after the last evaluations: two batches at both ends of a step.
        self._seen: list[tuple[Tensor, dict[str, Tensor]]] = []

    def params(self) -> Tensor:
        """Return the parameters of the module as one vector, a copy."""
        named = dict(self.module.named_parameters())
        return torch.cat([named[name].detach().reshape(-1) for name in self._names])

    def load(self, x: Tensor) -> None:
        """Write `x`, and the buffers of the run, into the module."""
        named = dict(self.module.named_parameters())
        with torch.no_grad():
            for name, value in self._views(x).items():
                named[name].copy_(value)
            for name, buffer in self.module.named_buffers():
                buffer.copy_(self._buffers[name])

    def __call__(self, x: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """Return loss and gradient at `x`."""
        decay, buffers = self._weight_decay, self._copied_buffers()
        value = 0.5 * decay * (x @ x)
        gradient: Any = None
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            for share, part in self._parts(leaf, batch, buffers):
                value = value + share * part.detach()
                (of_part,) = torch.autograd.grad(part, leaf)
                gradient = (
                    share * of_part if gradient is None else gradient.add_(of_part, alpha=share)
                )
        gradient.add_(x, alpha=decay)
        if buffers:
            self._seen = [*self._seen[-3:], (x, buffers)]
        if not self._has_been_checked:
            self._has_been_checked = True
            again = float(ModuleLoss.value(self, x, batch))
            warn_if_random(float(value), again, x.dtype, "evaluations of the loss")
        return value, gradient

    def value(self, x: Tensor, batch: Any) -> Tensor:
        """Return the loss at `x`, without a graph."""
        with torch.no_grad():
            parts = self._parts(x.detach(), batch, self._copied_buffers())
            value = sum(share * part for share, part in parts)
        return value + 0.5 * self._weight_decay * (x @ x)

    def hessp(self, x: Tensor, v: Tensor, batch: Any) -> Tensor:
        """Return the Hessian at `x` times `v`, by differentiating twice."""
        product = self._weight_decay * v
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            for share, part in self._parts(leaf, batch, self._copied_buffers()):
                (gradient,) = torch.autograd.grad(part, leaf, create_graph=True)
                product = product + share * torch.autograd.grad(gradient, leaf, v)[0]
        return product

    def moved(self, x: Tensor) -> None:
        """Keep the buffers of the last evaluation at `x`, to which a step has led."""
        at_x = (buffers for point, buffers in reversed(self._seen) if point is x)
        self._buffers = next(at_x, self._buffers)

    def snapshot(self) -> dict[str, Any]:
        """Return the buffers, for :meth:`restore`."""
        return {name: buffer.to("cpu").numpy() for name, buffer in self._buffers.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to the buffers that :meth:`snapshot` has returned."""
        for name, buffer in self._buffers.items():
            buffer.copy_(torch.as_tensor(state[name]))

    def _copied_buffers(self) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in self._buffers.items()}

    def _parts(
        self, x: Tensor, batch: Any, buffers: dict[str, Tensor]
    ) -> Iterator[tuple[float, Tensor]]:
        """Yield share of the samples and loss of each part of a batch; `buffers` follow along."""
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise TypeError("a batch must be a tuple (inputs..., target)")
        samples = batch[-1].shape[0]
        size = self._chunk or samples
        for first in range(0, samples, size):
            *inputs, target = (array[first : first + size] for array in batch)
            # Views anew for each part: its graph is gone when the next one begins.
            output = functional_call(self.module, {**self._views(x), **buffers}, tuple(inputs))
            yield target.shape[0] / samples, self._loss(output, target)

    def _views(self, x: Tensor) -> dict[str, Tensor]:
        pieces = x.split(self._sizes)
        return {
            name: piece.view(shape)
            for name, piece, shape in zip(self._names, pieces, self._shapes, strict=True)
        }
