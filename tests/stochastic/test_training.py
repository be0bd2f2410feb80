"""The loop: what is evaluated where, what it tells, what it refuses."""

from __future__ import annotations

import array_api_compat
import numpy as np
import pytest

from qnsolve import checks
from qnsolve.arrays import to_host
from qnsolve.stochastic import MiniBatches, train
from qnsolve.stochastic.training import METHODS
from tests.stochastic.problems import N_PARAMS, net_loss, samples, start

SMALL = {"batch_size": 20, "seed": 1}


def full_loss(x):
    return net_loss(x, samples())[0]


def best_linear_loss():
    X, t = samples()
    A = np.column_stack([X, np.ones(len(X))])
    residual = A @ np.linalg.lstsq(A, t)[0] - t
    return 0.5 * float(residual @ residual) / len(t)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [False, True])
def test_every_method_learns(method, overlap):
    """From most orders of the samples, more than what a linear model can hold."""
    losses = []
    for seed in range(5):
        result = train(
            net_loss,
            start(),
            MiniBatches(*samples(), batch_size=40, seed=seed),
            method=method,
            epochs=30,
            overlap=overlap,
            initial_rate=0.01,
        )
        losses.append(full_loss(result.params))
        assert result.steps == 30 * 3 == len(result.history["loss"])
        assert result.epochs == 30
    assert np.median(losses) < best_linear_loss()


@pytest.mark.parametrize(
    ("overlap", "measure", "gradients"),
    [(False, "new", 2), (False, "both", 2), (True, "new", 2), (True, "both", 3)],
)
def test_gradients_a_step(overlap, measure, gradients):
    result = train(
        net_loss,
        start(),
        MiniBatches(*samples(), **SMALL),
        epochs=4,
        overlap=overlap,
        measure=measure,
    )
    counts = np.diff(result.history["gradients"])
    # The half that both steps share is known where the first step ended.
    assert (counts == gradients).all()
    assert result.passes == pytest.approx(result.history["gradients"][-1] / 6)


@pytest.mark.parametrize(("measure", "count"), [("new", 1), ("both", 2)])
def test_both_ends_of_a_step_are_measured_on_the_same_batches(measure, count):
    infos = []
    train(
        net_loss,
        start(),
        MiniBatches(*samples(), **SMALL),
        epochs=2,
        measure=measure,
        step_callback=lambda p: infos.append((p.params, p.info)),
    )
    X, t = samples()
    batches = MiniBatches(X, t, **SMALL)
    stream = [batches.part(epoch, k) for epoch in range(2) for k in range(6)]
    x = start()
    for k, (x_new, info) in enumerate(infos):
        seen = stream[max(0, k + 1 - count) : k + 1]
        before = np.mean([net_loss(x, batch)[0] for batch in seen])
        assert info.loss == pytest.approx(before, rel=1e-14)
        if info.accepted:
            after = np.mean([net_loss(x_new, batch)[0] for batch in seen])
            assert info.loss_new == pytest.approx(after, rel=1e-14)
        x = x_new


def test_newton_takes_products_from_the_user_or_from_gradients():
    products = []

    def hessp(x, v, batch):
        products.append(1)
        h = 1e-6
        return (net_loss(x + h * v, batch)[1] - net_loss(x - h * v, batch)[1]) / (2 * h)

    arguments = {"method": "newton-tr", "epochs": 2}
    batches = MiniBatches(*samples(), **SMALL)
    given = train(net_loss, start(), batches, hessp=hessp, **arguments)
    differences = train(net_loss, start(), batches, **arguments)
    assert given.history["products"][-1] == len(products) > 0
    assert differences.history["products"][-1] == 0
    assert differences.history["gradients"][-1] > given.history["gradients"][-1]
    # Rounding of a difference: sqrt(eps) relative, over a few steps.
    np.testing.assert_allclose(differences.params, given.params, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_batches_that_are_not_finite_are_survived(method):
    def broken(x, batch):
        loss, gradient = net_loss(x, batch)
        bad = batch[1][0] > 0.8
        return (np.nan, gradient) if bad else (loss, gradient)

    batches = MiniBatches(*samples(), **SMALL)
    first = [batches.part(e, k)[1][0] > 0.8 for e in range(8) for k in range(6)]
    result = train(broken, start(), batches, method=method, epochs=8, initial_rate=0.01)
    expected = np.array(first) | np.array([False, *first[:-1]])
    assert 0 < expected.sum() < len(expected)
    assert (~np.isfinite(result.history["loss"]) == expected).all()
    assert not result.history["accepted"][expected].any()
    assert full_loss(result.params) < full_loss(start())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("overlap", [False, True])
def test_callables_may_return_the_same_array_each_time(method, overlap, xp):
    """As those do that write into a buffer: what they gave before must not change with it."""
    buffers = xp.asarray(start()), xp.asarray(start())
    if array_api_compat.is_jax_array(buffers[0]):
        pytest.skip("arrays of JAX cannot be written to")

    def into(k, value):
        buffers[k][:] = value
        return buffers[k]

    def hessp(x, v, batch):
        return (net_loss(x + 1e-6 * v, batch)[1] - net_loss(x, batch)[1]) / 1e-6

    def run(loss_and_grad, hessp):
        batches = MiniBatches(*(xp.asarray(a) for a in samples()), **SMALL)
        arguments = {"method": method, "epochs": 2, "overlap": overlap}
        if method == "newton-tr":
            arguments["hessp"] = hessp
        return to_host(train(loss_and_grad, xp.asarray(start()), batches, **arguments).params)

    def reusing(x, batch):
        loss, gradient = net_loss(x, batch)
        return loss, into(0, gradient)

    reused = run(reusing, lambda x, v, batch: into(1, hessp(x, v, batch)))
    np.testing.assert_array_equal(reused, run(net_loss, hessp))


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_run(method):
    runs = [
        train(net_loss, start(), MiniBatches(*samples(), **SMALL), method=method, epochs=3)
        for _ in range(2)
    ]
    assert (runs[0].params == runs[1].params).all()
    assert runs[0].passes == runs[1].passes


def test_callbacks():
    epochs, steps = [], []
    result = train(
        net_loss,
        start(),
        MiniBatches(*samples(), **SMALL),
        epochs=3,
        callback=lambda p: epochs.append((p.epoch, p.step, p.passes)),
        step_callback=lambda p: steps.append(p.step),
    )
    assert steps == list(range(1, 19))
    assert [e[:2] for e in epochs] == [(0, 6), (1, 12), (2, 18)]
    assert epochs[-1][2] == result.passes


@pytest.mark.parametrize("name", ["callback", "step_callback"])
def test_stop_iteration_ends_the_run_and_other_errors_pass(name):
    def stop(progress):
        raise StopIteration

    def fail(progress):
        raise RuntimeError("mine")

    batches = MiniBatches(*samples(), **SMALL)
    result = train(net_loss, start(), batches, epochs=3, **{name: stop})
    assert result.message == "stopped by the callback"
    assert result.steps == (6 if name == "callback" else 1)
    with pytest.raises(RuntimeError, match="mine"):
        train(net_loss, start(), batches, epochs=3, **{name: fail})


def test_stop_iteration_of_the_loss_comes_through():
    """As from a next() in it; it is no wish of a callback."""
    raised = StopIteration("mine")

    def fail(x, batch):
        raise raised

    with pytest.raises(StopIteration) as caught:
        train(fail, start(), [None])
    assert caught.value is raised


def test_a_generator_function_of_batches_is_run_through_once_an_epoch():
    class Loader:
        def __iter__(self):
            X, t = samples()
            return ((X[k::4], t[k::4]) for k in range(4))

    result = train(net_loss, start(), Loader(), epochs=3)
    assert result.steps == 12
    assert np.isnan(result.passes)


@pytest.mark.parametrize("options", [{}, {"pivot_every": 1}])
def test_an_iterable_without_batches_is_refused(options):
    """As a DataLoader is that drops its only batch, for it is not full."""
    with pytest.raises(ValueError, match="batches is empty"):
        train(net_loss, start(), set(), **options)


class Once:
    """Batches that can be run through once, and do not say so."""

    def __init__(self, batches):
        self._left = iter(batches)

    def __iter__(self):
        return self._left


def test_batches_that_run_out_end_the_run():
    X, t = samples()
    batches = [(X[k::4], t[k::4]) for k in range(4)]
    whole = train(net_loss, start(), batches, epochs=1)
    result = train(net_loss, start(), Once(batches), epochs=5)
    assert (result.epochs, result.steps) == (1, 4)
    assert result.message == "batches had none left for epoch 1"
    assert (result.params == whole.params).all()
    # A list that the callback empties.
    left = list(batches)
    result = train(net_loss, start(), left, epochs=5, callback=lambda progress: left.clear())
    assert (result.params == whole.params).all() and np.isnan(result.passes)


def test_float32_stays_float32():
    X, t = samples(dtype=np.float32)
    result = train(net_loss, start(dtype=np.float32), MiniBatches(X, t, **SMALL), epochs=5)
    assert result.params.dtype == np.float32
    assert full_loss(result.params.astype(float)) < full_loss(start())


@pytest.mark.parametrize("method", ["hybrid-tr", "lsr1-tr", "lsr1-arc"])
def test_more_pairs_than_variables_in_float32(method):
    """Rows rounded to float32 look independent; there is still no direction off all of them."""
    curvature = np.array([1.0, -2.0, 3.0])

    def loss_and_grad(x, batch):
        y = x.astype(float) - batch
        return 0.5 * y @ (curvature * y), (curvature * y).astype(np.float32)

    for norm, size in (("adam", 0.0), ("adam", 1e-30), ("l2", 1.0)):
        params = np.full(3, size, np.float32)
        result = train(loss_and_grad, params, [0.0, 0.1], method=method, norm=norm, epochs=3)
        assert np.isfinite(result.params).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", [1e-300, 1e-165, 1e160, 1e300])
@pytest.mark.parametrize("rate", [1e-200, 1e-3, 1e200])
@pytest.mark.filterwarnings("ignore:overflow")
def test_first_steps_beyond_the_range(method, unit, rate):
    """The square of their length, or the length, is 0 or infinite: no exception, a finite point."""

    def loss_and_grad(x, batch):
        with np.errstate(all="ignore"):
            return 0.5 * unit * (x @ x), unit * x

    arguments = {"norm": "l2", "initial_rate": rate, "epochs": 2}
    result = train(loss_and_grad, np.ones(3), [None], method=method, **arguments)
    assert np.isfinite(result.params).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["rising", "nan"])
@pytest.mark.parametrize("count", [1, 30])
def test_epochs_that_move_nothing_are_said_once(method, kind, count):
    calls = []

    def loss_and_grad(x, batch):
        calls.append(1)
        return np.nan if kind == "nan" else float(len(calls)), x

    with pytest.warns(RuntimeWarning, match="parameters have not moved in") as seen:
        result = train(loss_and_grad, np.ones(3), [None] * count, method=method, epochs=60)
    assert len(seen) == 1
    assert (result.params == 1.0).all()
    assert "60 epochs" in result.message


@pytest.mark.parametrize("method", METHODS)
def test_at_rest_with_gradient_zero_there_is_nothing_to_say(method):
    train(lambda x, batch: (1.0, 0.0 * x), np.ones(3), [None] * 2, method=method, epochs=30)


@pytest.mark.parametrize("dtype", [np.float16, complex, int, bool])
def test_coarse_and_other_dtypes_are_refused(dtype):
    def never(x, batch):
        raise AssertionError("evaluated")

    with pytest.raises(TypeError, match="params "):
        train(never, np.ones(3, dtype=dtype), [None])


def test_product_with_the_hessian_that_is_not_used():
    def never(x, v, batch):
        raise AssertionError("evaluated")

    checks._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match="hybrid-tr does not use Hessian information"):
        train(net_loss, start(), MiniBatches(*samples(), **SMALL), hessp=never, epochs=1)


def test_no_epoch():
    result = train(net_loss, start(), MiniBatches(*samples(), **SMALL), epochs=0)
    assert (result.params == start()).all()
    assert result.steps == 0
    assert result.history["loss"].shape == (0,)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"params": [1.0, 2.0]}, TypeError, "params must be an array"),
        ({"params": np.ones((2, 2))}, ValueError, "params must have shape"),
        ({"params": np.arange(3)}, TypeError, "real floating"),
        ({"params": np.ones(0)}, ValueError, "params must have shape"),
        ({"params": np.array([1.0, np.nan])}, ValueError, "params has NaN or infinite entries"),
        ({"params": np.ma.masked_array([1.0, 2.0])}, TypeError, "params is a masked array"),
        (
            {"hessp": 3, "method": "newton-tr"},
            TypeError,
            "hessp must be a callable or None, got int",
        ),
        ({"loss_and_grad": 3}, TypeError, "loss_and_grad must be a callable"),
        ({"callback": 3}, TypeError, "callback must be a callable or None"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
        ({"epochs": -1}, ValueError, "epochs must be an integer >= 0"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be"),
        ({"checkpoint_every": 5}, ValueError, "needs a checkpoint to write to"),
        ({"method": "adam"}, ValueError, "method must be one of"),
        ({"method": ["lsr1-tr"]}, ValueError, "method must be one of"),
        ({"memry": 3}, TypeError, "did you mean 'memory'"),
        ({"norm": "l3"}, ValueError, "norm must be one of"),
        ({"method": "lsr1-ls", "norm": "adam"}, ValueError, "norm must be one of"),
        ({"decay": 1.0}, ValueError, "decay must be"),
        ({"grow": 1.0}, ValueError, "grow must be a number > 1"),
        ({"accept": 0.5}, ValueError, "accept must be <= shrink_below"),
        ({"min_radius": 2.0, "max_radius": 1.0}, ValueError, "min_radius must be <="),
        ({"batches": iter([])}, TypeError, "iterable once an epoch"),
        ({"batches": "train.csv"}, TypeError, "batches must be .* got str"),
    ],
)
def test_wrong_arguments_before_the_first_evaluation(change, error, match):
    def never(x, batch):
        raise AssertionError("evaluated")

    arguments = {"loss_and_grad": never, "params": start(), "batches": [None], **change}
    with pytest.raises(error, match=match):
        train(**arguments)


@pytest.mark.parametrize(
    ("returned", "error", "match"),
    [
        (1.0, TypeError, r"must return \(loss, gradient\)"),
        ((1.0, np.ones(3)), ValueError, "the gradient must have shape"),
        ((np.ones(2), np.ones(N_PARAMS)), TypeError, "the loss must be one real number"),
        (([1.0, 2.0], np.ones(N_PARAMS)), TypeError, "the loss must be one real number, got list"),
        ((None, np.ones(N_PARAMS)), TypeError, "the loss must be one real number, got NoneType"),
        (("1.5", np.ones(N_PARAMS)), TypeError, "the loss must be one real number, got str"),
        ((1j, np.ones(N_PARAMS)), TypeError, "the loss is complex"),
        ((np.complex128(1j), np.ones(N_PARAMS)), TypeError, "the loss is complex"),
    ],
)
def test_what_loss_and_grad_must_return(returned, error, match):
    with pytest.raises(error, match=match):
        train(lambda x, batch: returned, start(), [None])


@pytest.mark.parametrize("form", [float, np.float32, np.array, lambda f: np.full((1, 1), f)])
def test_forms_of_the_loss(form):
    def loss_and_grad(x, batch):
        loss, gradient = net_loss(x, batch)
        return form(float(np.float32(loss))), gradient

    result = train(loss_and_grad, start(), [samples()], epochs=2)
    assert result.history["loss"][0] == np.float32(full_loss(start()))


def test_progress_bar(capsys):
    pytest.importorskip("tqdm")
    train(net_loss, start(), MiniBatches(*samples(), **SMALL), epochs=2, progress=True)
    assert "12/12" in capsys.readouterr().err
    train(net_loss, start(), MiniBatches(*samples(), **SMALL), epochs=2)
    assert capsys.readouterr().err == ""
