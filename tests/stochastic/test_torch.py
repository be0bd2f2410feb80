"""PyTorch modules and the optimizer."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from examples.experiments.author_code import ARCS_AUTHOR_CONSTANTS
from qnsolve.arrays.border import Border
from qnsolve.norms import DiagonalNorm
from qnsolve.stochastic import MiniBatches, presets, train
from tests.stochastic.problems import HIDDEN, INPUTS, net_loss, samples, start

torch = pytest.importorskip("torch")

from qnsolve.stochastic.torch_adapter import ModuleLoss  # noqa: E402
from qnsolve.stochastic.torch_optim import QuasiNewton  # noqa: E402

torch.set_num_threads(1)

EPS32 = float(np.finfo(np.float32).eps)


class Squeeze(torch.nn.Module):
    def forward(self, x):
        return x[:, 0]


def net(batch_norm=False, seed=0, dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        norm = [torch.nn.BatchNorm1d(HIDDEN)] if batch_norm else []
        layers = [torch.nn.Linear(INPUTS, HIDDEN), *norm, torch.nn.Tanh()]
        return torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN, 1), Squeeze()).to(dtype)


def tensors(count=120):
    return tuple(torch.as_tensor(a) for a in samples(count))


def half_squares(output, target):
    return 0.5 * ((output - target) ** 2).mean()


def test_params_go_round_and_gradient_is_that_of_backward():
    module, (X, t) = net(), tensors()
    loss = ModuleLoss(module, half_squares)
    value, gradient = loss(loss.params(), (X, t))
    expected = half_squares(module(X), t)
    expected.backward()
    parts = torch.cat([p.grad.reshape(-1) for p in module.parameters()])
    torch.testing.assert_close(gradient, parts, rtol=1e-14, atol=0)
    assert float(value) == float(expected.detach())
    assert not gradient.requires_grad
    x = loss.params() + 1.0
    loss.load(x)
    assert (loss.params() == x).all()


def test_value_weight_decay_and_chunks():
    module, batch = net(), tensors(50)
    whole = ModuleLoss(module, half_squares, weight_decay=0.1)
    parts = ModuleLoss(module, half_squares, weight_decay=0.1, chunk=16)
    x = whole.params()
    plain, _ = ModuleLoss(module, half_squares)(x, batch)
    value, gradient = whole(x, batch)
    assert float(value) == pytest.approx(float(plain + 0.05 * x @ x), rel=1e-14)
    assert float(whole.value(x, batch)) == pytest.approx(float(value), rel=1e-14)
    torch.testing.assert_close(parts(x, batch)[1], gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("chunk", [None, 16])
def test_products_with_the_hessian(chunk):
    loss = ModuleLoss(net(), half_squares, weight_decay=0.1, chunk=chunk)
    x, batch = loss.params(), tensors(50)
    v = torch.linspace(-1.0, 1.0, len(x), dtype=x.dtype)
    h = 1e-5
    difference = (loss(x + h * v, batch)[1] - loss(x - h * v, batch)[1]) / (2 * h)
    # Truncation of a central difference is h^2, its rounding eps / h.
    torch.testing.assert_close(loss.hessp(x, v, batch), difference, rtol=0, atol=1e-8)


def test_frozen_parameters_stay():
    module = net()
    module[0].weight.requires_grad_(False)
    frozen = module[0].weight.clone()
    loss = ModuleLoss(module, half_squares)
    assert len(loss.params()) == HIDDEN + HIDDEN + 1
    result = train(loss, loss.params(), MiniBatches(*tensors(), batch_size=30), epochs=3)
    loss.load(result.params)
    assert (module[0].weight == frozen).all()


def statistics(module):
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def test_evaluations_leave_buffers_alone_and_accepted_steps_do_not():
    module, batch = net(batch_norm=True), tensors(40)
    loss = ModuleLoss(module, half_squares)
    x = loss.params()
    before = loss.snapshot()
    loss(x, batch)
    loss.value(x, batch)
    loss.hessp(x, x, batch)
    after = loss.snapshot()
    assert all((before[name] == after[name]).all() for name in before)
    assert all((statistics(module)[name].numpy() == before[name]).all() for name in before)
    point = x + 0.1
    loss(point, batch)
    loss.moved(point)
    # The statistics that the module itself keeps after one batch at that point.
    other = net(batch_norm=True)
    twin = ModuleLoss(other, half_squares)
    twin.load(point)
    other(batch[0])
    for name, buffer in statistics(other).items():
        np.testing.assert_allclose(loss.snapshot()[name], buffer.numpy(), rtol=1e-12)


def test_rejected_trial_points_leave_no_trace_in_the_running_statistics():
    module = net(batch_norm=True)
    loss = ModuleLoss(module, half_squares)
    before = loss.snapshot()
    seen = []

    def rising(x, batch):
        # Every trial point looks worse than the one before it.
        value, gradient = loss(x, batch)
        seen.append(1)
        return value * 0 + len(seen), gradient

    rising.moved = loss.moved
    batches = MiniBatches(*tensors(), batch_size=30)
    result = train(rising, loss.params(), batches, epochs=2, overlap=False)
    assert not result.history["accepted"].any()
    assert all((before[name] == loss.snapshot()[name]).all() for name in before)
    accepted = train(loss, loss.params(), batches, epochs=2)
    steps = int(accepted.history["accepted"].sum())
    assert steps > 0
    assert int(loss.snapshot()["1.num_batches_tracked"]) == steps


def test_a_run_with_batch_norm_resumes_bit_for_bit(tmp_path):
    def run(path=None, stop=None):
        loss = ModuleLoss(net(batch_norm=True, dtype=torch.float32), half_squares)
        X, t = tensors()
        batches = MiniBatches(X.float(), t.float(), batch_size=30)

        def callback(progress):
            if progress.step == stop:
                raise StopIteration

        result = train(
            loss,
            loss.params(),
            batches,
            epochs=4,
            checkpoint=path,
            checkpoint_every=3 if path else None,
            step_callback=callback,
        )
        return result.params, loss.snapshot()

    path = tmp_path / "run.npz"
    run(path, stop=11)
    (params, buffers), (expected, expected_buffers) = run(path), run()
    assert (params == expected).all()
    assert all((buffers[name] == expected_buffers[name]).all() for name in buffers)


def test_what_modules_are_refused():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        ModuleLoss(lambda x: x, half_squares)
    dropout = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Dropout(0.5))
    with pytest.raises(ValueError, match="dropout is active in 1"):
        ModuleLoss(dropout, half_squares)
    ModuleLoss(dropout.eval(), half_squares)
    with pytest.raises(ValueError, match="dropout is active in lstm"):
        ModuleLoss(Recurrent(), half_squares)
    ModuleLoss(Recurrent().eval(), half_squares)
    for wrong, error in (({"weight_decay": -1.0}, ValueError), ({"chunk": 0.5}, TypeError)):
        with pytest.raises(error, match=f"{next(iter(wrong))} must be"):
            ModuleLoss(net(), half_squares, **wrong)
    with pytest.raises(ValueError, match="requires_grad"):
        ModuleLoss(torch.nn.Tanh(), half_squares)
    mixed = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Linear(1, 1).double())
    with pytest.raises(ValueError, match="one dtype"):
        ModuleLoss(mixed, half_squares)
    loss = ModuleLoss(net(), half_squares)
    with pytest.raises(TypeError, match="tuple"):
        loss(loss.params(), torch.ones(3))


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls"])
def test_optimizer_makes_the_steps_of_train(method):
    module, (X, t) = net(), tensors()
    batches = MiniBatches(X, t, batch_size=30)
    loss = ModuleLoss(net(), half_squares)
    expected = train(loss, loss.params(), batches, method=method, epochs=3, overlap=False)
    optimizer = QuasiNewton(module.parameters(), method)
    for epoch in range(3):
        for k in range(4):
            optimizer.step(closure_of(optimizer, module, batches.part(epoch, k)))
    params = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    torch.testing.assert_close(params, expected.params, rtol=1e-12, atol=1e-13)
    assert optimizer.info.loss == pytest.approx(expected.history["loss"][-1], rel=1e-12)


def closure_of(optimizer, module, batch):
    X, t = batch

    def closure():
        optimizer.zero_grad()
        loss = half_squares(module(X), t)
        loss.backward()
        return loss

    return closure


def test_optimizer_keeps_batch_norm_right():
    module, batch = net(batch_norm=True), tensors(40)
    optimizer = QuasiNewton(module.parameters(), buffers=module.buffers())
    accepted = 0
    for _ in range(6):
        optimizer.step(closure_of(optimizer, module, batch))
        accepted += optimizer.info.accepted
        assert int(module[1].num_batches_tracked) == accepted
    assert accepted > 0


def test_optimizer_state_goes_round(tmp_path):
    batch = tensors(40)

    def run(module, optimizer, steps):
        for _ in range(steps):
            optimizer.step(closure_of(optimizer, module, batch))

    a, b = net(), net(seed=5)
    first, second = QuasiNewton(a.parameters()), QuasiNewton(b.parameters())
    run(a, first, 7)
    torch.save({"model": a.state_dict(), "optimizer": first.state_dict()}, tmp_path / "state.pt")
    run(a, first, 5)
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    b.load_state_dict(saved["model"])
    second.load_state_dict(saved["optimizer"])
    run(b, second, 5)
    assert all((p == q).all() for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_optimizer_refuses_groups_and_missing_closures():
    module = net()
    groups = [{"params": [module[0].weight]}, {"params": [module[0].bias]}]
    with pytest.raises(ValueError, match="one group"):
        QuasiNewton(groups)
    with pytest.raises(TypeError, match="needs a closure"):
        QuasiNewton(module.parameters()).step(None)
    with pytest.raises(ValueError, match="method must be"):
        QuasiNewton(module.parameters(), "adam")


def flat(module):
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def run(module, optimizer, steps, batch=None):
    for _ in range(steps):
        optimizer.step(closure_of(optimizer, module, batch or tensors(40)))
    return flat(module)


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc", "lsr1-ls"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("before", [0, 5])
def test_a_copy_of_model_and_optimizer_goes_on_by_itself(method, copied, before):
    module = net()
    optimizer = QuasiNewton(module.parameters(), method)
    start = run(module, optimizer, before)
    twin, second = copied((module, optimizer))
    expected = run(module, optimizer, 4)
    assert (flat(twin) == start).all()
    assert (run(twin, second, 4) == expected).all()
    assert second.info == optimizer.info


def test_a_copy_with_batch_norm_keeps_its_own_buffers():
    module = net(batch_norm=True)
    optimizer = QuasiNewton(module.parameters(), buffers=module.buffers())
    run(module, optimizer, 2)
    twin, second = copy.deepcopy((module, optimizer))
    expected = run(module, optimizer, 3)
    assert (run(twin, second, 3) == expected).all()
    for name, value in statistics(twin).items():
        assert (value == statistics(module)[name]).all()


def test_a_second_group_is_refused():
    module = net()
    optimizer = QuasiNewton([module[0].weight])
    with pytest.raises(ValueError, match="one group"):
        optimizer.add_param_group({"params": [module[0].bias]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("dtype", "message"),
    [(torch.bfloat16, "bfloat16"), (torch.float16, "float16"), (torch.complex64, "complex64")],
)
def test_what_parameters_are_refused(dtype, message):
    p = torch.nn.Parameter(torch.zeros(3, dtype=dtype))
    with pytest.raises(ValueError, match=f"must be float32 or float64, got torch.{message}"):
        QuasiNewton([p])


@pytest.mark.parametrize(
    ("method", "options", "error", "message"),
    [
        ("newton-tr", {}, ValueError, "newton-tr needs products with the Hessian"),
        ("hybrid-tr", {"overlap": True}, ValueError, "overlap acts between batches"),
        ("hybrid-tr", {"pivot_every": 2}, ValueError, "pivot_every acts between batches"),
        ("lsr1-ls", {"batch_growth": 1.5}, ValueError, "batch_growth acts between batches"),
        ("lsr1-tr", {"measure": "new"}, ValueError, "measure acts between batches"),
        ("lsr1-tr", {"lr": 0.1}, TypeError, "unknown option 'lr'"),
    ],
)
def test_what_options_are_refused(method, options, error, message):
    with pytest.raises(error, match=message):
        QuasiNewton(net().parameters(), method, **options)


def test_presets_of_one_batch_are_taken():
    for preset in (presets.RAMAMURTHY_DUFFY, ARCS_AUTHOR_CONSTANTS):
        module = net()
        optimizer = QuasiNewton(module.parameters(), preset.method, **preset)
        run(module, optimizer, 3)
        twin, second = copy.deepcopy((module, optimizer))
        assert (run(twin, second, 3) == run(module, optimizer, 3)).all()


@pytest.mark.parametrize("kind", [float, lambda loss: loss.detach().reshape(1), np.asarray])
def test_closures_may_return_the_loss_as_any_number(kind):
    batch, expected = tensors(40), net()
    run(expected, QuasiNewton(expected.parameters()), 3)
    module = net()
    optimizer = QuasiNewton(module.parameters())
    plain = closure_of(optimizer, module, batch)
    for _ in range(3):
        loss = optimizer.step(lambda: kind(plain().detach()))
    assert (flat(module) == flat(expected)).all()
    assert type(loss) is type(kind(torch.tensor(1.0)))


@pytest.mark.parametrize("returned", [None, "1.0", True, torch.ones(2)])
def test_closures_that_return_no_number(returned):
    module = net()
    with pytest.raises(TypeError, match="the closure must return the loss"):
        QuasiNewton(module.parameters()).step(lambda: returned)


def test_states_of_others_are_refused_and_change_nothing():
    module, other = net(), torch.nn.Linear(INPUTS, 1).double()
    optimizer = QuasiNewton(module.parameters())
    run(module, optimizer, 3)
    half = QuasiNewton(net(dtype=torch.float32).parameters())
    for stranger, message in (
        (QuasiNewton(module.parameters(), "lsr1-tr"), "method = 'hybrid-tr', here it is 'lsr1-tr'"),
        (QuasiNewton(other.parameters()), "saved with sizes"),
        (half, "saved with dtype"),
    ):
        with pytest.raises(ValueError, match=message):
            stranger.load_state_dict(optimizer.state_dict())
        assert stranger.state_dict()["solver"]["run"] is None
    with pytest.raises(ValueError, match="no state of a QuasiNewton"):
        optimizer.load_state_dict(torch.optim.SGD(module.parameters(), lr=0.1).state_dict())


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5])
def test_an_exception_in_the_closure_leaves_the_model_as_it_was(call):
    module, batch = net(batch_norm=True), tensors(40)
    optimizer = QuasiNewton(module.parameters(), buffers=module.buffers())
    calls = []

    def closure():
        calls.append(1)
        loss = closure_of(optimizer, module, batch)()
        if len(calls) == call:
            raise KeyboardInterrupt
        return loss

    # The first step calls it three times, the next one twice.
    if call > 3:
        optimizer.step(closure)
    before, buffers = flat(module), statistics(module)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert (flat(module) == before).all()
    assert all((buffers[name] == b).all() for name, b in statistics(module).items())
    optimizer.step(closure)
    assert optimizer.info.finite


class DroppingOut(torch.nn.Module):
    """Dropout that no layer shows."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(INPUTS, 1).double()

    def forward(self, x):
        return torch.nn.functional.dropout(self.linear(x), 0.5, self.training)[:, 0]


class Recurrent(torch.nn.Module):
    """An LSTM with dropout between its layers."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(1, 3, num_layers=2, dropout=0.5, batch_first=True).double()

    def forward(self, x):
        return self.lstm(x[:, :, None])[0][:, -1, 0]


@pytest.mark.parametrize("kind", [DroppingOut, Recurrent])
def test_a_closure_that_is_no_function_is_noticed_at_the_first_step(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module, batch = kind(), tensors(40)
        optimizer = QuasiNewton(module.parameters())
        with pytest.warns(RuntimeWarning, match="two calls of the closure at the same parameters"):
            optimizer.step(closure_of(optimizer, module, batch))
        run(module, optimizer, 2)  # warned once
        module.eval()
        run(module, QuasiNewton(module.parameters()), 2)


def trained(module, **options):
    loss = ModuleLoss(module, half_squares)
    return train(loss, loss.params(), MiniBatches(*tensors(40), batch_size=10), epochs=2, **options)


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-ls", "newton-tr"])
def test_dropout_that_no_layer_shows_is_noticed_at_the_first_step_of_train(method):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with pytest.warns(RuntimeWarning, match="two evaluations of the loss at the same") as seen:
            trained(DroppingOut(), method=method)
        assert len(seen) == 1
        trained(DroppingOut().eval(), method=method)


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.LSTM(4, 4, num_layers=2, dropout=0.5),
        torch.nn.GRU(4, 4, num_layers=2, dropout=0.5),
        torch.nn.MultiheadAttention(4, 1, dropout=0.5),
        torch.nn.TransformerEncoderLayer(4, 1, 4, dropout=0.5),
        torch.nn.Dropout2d(0.5),
    ],
)
def test_dropout_of_a_layer_is_refused_before_an_evaluation(layer):
    layer = torch.nn.Sequential(torch.nn.Linear(4, 4), layer)
    with pytest.raises(ValueError, match=r"dropout is active in 1.*eval\(\)"):
        ModuleLoss(layer, half_squares)
    ModuleLoss(layer.eval(), half_squares)


@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last")
def test_a_recurrent_layer_alone_never_drops_out():
    ModuleLoss(torch.nn.LSTM(4, 4, num_layers=1, dropout=0.5), half_squares)


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64])
def test_modules_of_other_dtypes_are_refused_by_train(dtype):
    def never(output, target):
        raise AssertionError("evaluated")

    loss = ModuleLoss(torch.nn.Linear(INPUTS, 1).to(dtype), never)
    name = str(dtype).removeprefix("torch.")
    with pytest.raises(TypeError, match=f"params .*{name}"):
        train(loss, loss.params(), [tensors(10)])


SCHEDULERS = [
    lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1),
    lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5),
    torch.optim.lr_scheduler.ReduceLROnPlateau,
    lambda optimizer: torch.optim.swa_utils.SWALR(optimizer, 0.1),
]


@pytest.mark.parametrize("again", [lambda optimizer: optimizer, copy.deepcopy, "loaded"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_schedulers_are_refused(scheduler, again):
    optimizer = QuasiNewton(net().parameters())
    if again == "loaded":
        optimizer.load_state_dict(optimizer.state_dict())
    else:
        optimizer = again(optimizer)
    with pytest.raises(TypeError, match="QuasiNewton has no learning rate"):
        scheduler(optimizer)
    with pytest.raises(KeyError, match="momentum"):
        _ = optimizer.param_groups[0]["momentum"]


def test_options_of_a_group_are_refused():
    with pytest.raises(TypeError, match="no option 'lr'"):
        QuasiNewton([{"params": net().parameters(), "lr": 0.1}])
    named = QuasiNewton(net().named_parameters())
    assert "0.weight" in named.param_groups[0]["param_names"]


@pytest.mark.parametrize("state", [None, {}, [1], {"state": {}, "param_groups": []}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="no state of a QuasiNewton"):
        QuasiNewton(net().parameters()).load_state_dict(state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_diagonal_norm_of_torch_is_that_of_numpy(dtype):
    ends = []
    for library in (np.asarray, torch.as_tensor):
        module = net(dtype=dtype)
        d = np.linspace(1.0, 2.0, len(flat(module))).astype(str(dtype).removeprefix("torch."))
        optimizer = QuasiNewton(module.parameters(), norm=DiagonalNorm(library(d)))
        batch = tuple(a.to(dtype) for a in tensors(40))
        ends.append(run(module, optimizer, 3, batch))
    assert (ends[0] == ends[1]).all()


def test_arrays_of_a_state_say_where_they_live():
    """A state saved on a device is taken on the CPU, and one of the CPU there."""
    module = net(dtype=torch.float32)
    batch = tuple(a.float() for a in tensors(40))
    optimizer = QuasiNewton(module.parameters())
    run(module, optimizer, 4, batch)
    elsewhere = QuasiNewton(net(dtype=torch.float32).parameters())
    # What a device looks like: vectors stay those of PyTorch.
    elsewhere._border, elsewhere._in_numpy = Border(), False
    elsewhere.load_state_dict(optimizer.state_dict())
    assert isinstance(elsewhere._run.x, torch.Tensor)
    back = QuasiNewton(net(dtype=torch.float32).parameters())
    back.load_state_dict(elsewhere.state_dict())
    assert_same_trees(back.state_dict(), optimizer.state_dict())


def assert_same_trees(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same_trees(a[key], b[key])
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and (a == b).all()
    else:
        assert a == b or (a != a and b != b)  # what is not known yet is NaN


def test_module_and_formula_agree():
    module = net()
    x = start()
    W = x[: INPUTS * HIDDEN].reshape(INPUTS, HIDDEN).T.ravel()
    loss = ModuleLoss(module, half_squares, weight_decay=1e-3)
    value, _ = loss(torch.as_tensor(np.concatenate([W, x[INPUTS * HIDDEN :]])), tensors())
    assert float(value) == pytest.approx(net_loss(x, samples())[0], rel=1e-13)
