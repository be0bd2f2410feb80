"""minimize and the method callables: dispatch, refusals, shapes, and parity with SciPy's call."""

import threading
from dataclasses import replace

import array_api_compat
import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import (
    Bounds,
    LinearConstraint,
    OptimizeResult,
    rosen,
    rosen_der,
    rosen_hess_prod,
)

from qnsolve import checks, methods
from qnsolve.bounds import Box
from qnsolve.interface import DEFAULT_METHOD, METHODS, minimize
from qnsolve.methods import TABLE, hybrid_tr
from qnsolve.result import Status


def fun(x):
    """Sum of double wells: minimisers have entries +-1/sqrt(2), value -1/4 each."""
    xp = array_api_compat.array_namespace(x)
    return xp.sum(x**4 - x**2), 4 * x**3 - 2 * x


def rosen_both(x):
    return rosen(x), rosen_der(x)


def never(*_):
    raise AssertionError("evaluated before the arguments were checked")


X0 = np.array([-1.2, 1.0, 0.7, -0.3])


@pytest.fixture
def solver(monkeypatch):
    """Replace two methods by one that records its arguments and returns the start point."""
    calls = []

    def fake(options, run):
        objective = run.callables.objective
        calls.append((objective, options, run.callback))
        return OptimizeResult(x=objective.x0, jac=2 * objective.x0, fun=0.0, nit=0)
        yield  # a loop that asks for nothing

    for method in (DEFAULT_METHOD, "lsr1-tr"):
        monkeypatch.setitem(methods.TABLE, method, replace(methods.TABLE[method], parts=fake))
    return calls


@pytest.fixture
def loop(monkeypatch):
    """Replace the loop of all methods by one that records whose callables it is given."""
    calls = []

    def fake(parts, options, run):
        calls.append(run.callables.objective)
        x = calls[-1].x0
        return OptimizeResult(x=x, jac=2 * x, fun=0.0, nit=0)
        yield  # a loop that asks for nothing

    monkeypatch.setattr(methods, "minimise", fake)
    return calls


# -- what the front end hands to the solver -------------------------------------------------------


def test_arguments_reach_the_solver(solver):
    minimize(
        lambda x, a: (a, x),
        [1.0, 2.0],
        args=3.0,
        jac=True,
        tol=1e-3,
        callback=print,
        options={"memory": 4},
    )
    objective, options, callback = solver[0]
    assert objective(objective.x0)[0] == 3.0
    assert (options.memory, options.gtol) == (4, 1e-3)
    assert callable(callback)


def test_no_callback_is_handed_on_as_none(solver):
    minimize(never, X0, jac=True)
    assert solver[0][2] is None


@pytest.mark.parametrize(
    ("tol", "options", "gtol"),
    [
        (None, None, 1e-5),
        (1e-3, None, 1e-3),
        (1e-3, {"gtol": 1e-7}, 1e-7),
        (1e-3, {"tol": 1e-7}, 1e-7),
    ],
)
def test_tol_is_gtol_unless_that_is_given(solver, tol, options, gtol):
    minimize(never, X0, jac=True, tol=tol, options=options)
    scipy.optimize.minimize(never, X0, jac=True, tol=tol, options=options, method=hybrid_tr)
    assert [call[1].gtol for call in solver] == [gtol, gtol]


def test_defaults_follow_the_dtype(solver):
    minimize(never, X0.astype(np.float32), jac=True)
    eps = float(np.finfo(np.float32).eps)
    assert (solver[0][1].gtol, solver[0][1].xtol) == (eps ** (1 / 3), eps)


@pytest.mark.parametrize("shape", [(), (4,), (2, 2), (1, 4, 1)])
def test_result_has_the_shape_of_x0(solver, shape, xp):
    result = minimize(never, xp.asarray(np.ones(shape)), jac=True)
    assert result.x.shape == result.jac.shape == shape


def test_result_does_not_share_memory_with_x0(solver):
    x0 = X0.copy()
    minimize(never, x0, jac=True).x[:] = 9.0
    assert (x0 == X0).all()


# -- the method's name ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lsr1-tr", "LSR1-TR", "Lsr1-Tr"])
def test_names_of_methods(solver, method):
    minimize(never, X0, jac=True, method=method)
    assert len(solver) == 1


def test_hybrid_tr_is_the_default():
    same(minimize(rosen_both, X0, jac=True), methods.hybrid_tr(rosen_both, X0, jac=True))


def test_every_method_is_listed_under_a_lower_case_name():
    assert all(name == name.lower() and callable(method) for name, method in METHODS.items())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_callable_of_its_own(name):
    method = METHODS[name]
    assert method.__name__ == name.replace("-", "_") and method is getattr(methods, method.__name__)
    assert methods.TABLE[name].words in method.__doc__
    with pytest.raises(TypeError, match="unknown option 'memry'"):
        method(never, X0, jac=True, memry=3)
    same(
        minimize(rosen_both, X0, jac=True, method=name, options={"maxiter": 8}),
        method(rosen_both, X0, jac=True, maxiter=8),
    )


def test_unknown_method_names_the_nearest_and_all():
    with pytest.raises(ValueError, match=r"unknown method 'hybrid_tr'; did you mean 'hybrid-tr'\?"):
        minimize(never, X0, jac=True, method="hybrid_tr")
    with pytest.raises(
        ValueError, match=rf"unknown method 'BFGS'; scipy.*'hybrid-tr'.*{', '.join(METHODS)}"
    ):
        minimize(never, X0, jac=True, method="BFGS")


def test_callable_method_is_pointed_to_scipy():
    with pytest.raises(TypeError, match=r"method must be a name; .*scipy\.optimize\.minimize"):
        minimize(never, X0, jac=True, method=hybrid_tr)


def test_method_that_is_no_name():
    with pytest.raises(TypeError, match="method must be a name, got int"):
        minimize(never, X0, jac=True, method=3)


# -- what is refused before the first evaluation --------------------------------------------------

CALLS = {
    "minimize": minimize,
    "hybrid_tr": lambda *args, options=None, **rest: hybrid_tr(*args, **rest, **(options or {})),
    "scipy": lambda *args, **kwargs: scipy.optimize.minimize(*args, method=hybrid_tr, **kwargs),
}


@pytest.fixture(params=CALLS)
def call(request):
    """Return one of the three ways to the same run."""
    return CALLS[request.param]


@pytest.mark.parametrize(
    ("bounds", "error", "words"),
    [
        ([(np.nan, None)] * 4, ValueError, "not be NaN, got low nan and high inf for variable 0"),
        (Bounds(0, [1, 1, np.nan, 1]), ValueError, "low 0.0 and high nan for variable 2"),
        ([(0, 1)] * 3 + [(2, 1)], ValueError, "low <= high .* low 2.0 and high 1.0 for variable 3"),
        ([(np.inf, None)] * 4, ValueError, "a finite number between .* low inf and high inf"),
        ([(0, 1)] * 3, ValueError, "there are 3 bounds on a side, x0 has 4 entries"),
        (Bounds([0] * 5, 1), ValueError, "there are 5 bounds on a side, x0 has 4 entries"),
        ((0.0, 1.0), TypeError, r"bounds must be .* got \(0.0, 1.0\)"),
        (np.zeros((4, 3)), TypeError, "sequence of pairs"),
        ([("0", "1")] * 4, TypeError, "sequence of pairs"),
        ([(0, 1j)] * 4, TypeError, "sequence of pairs"),
        (7, TypeError, "got 7"),
    ],
)
def test_wrong_bounds_are_refused(call, bounds, error, words):
    with pytest.raises(error, match=words):
        call(never, X0, jac=True, bounds=bounds)


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if not row.takes_bounds])
def test_a_method_without_bounds_names_those_that_take_them(name):
    with pytest.raises(ValueError, match=rf"{name} takes no bounds; use method 'hybrid-tr'"):
        minimize(never, X0, jac=True, method=name, bounds=[(0, 1)] * 4)


@pytest.mark.parametrize(
    "bounds",
    [None, Bounds(), [(None, None)] * 4, [(-np.inf, np.inf)] * 4, ()],
    ids=["None", "Bounds()", "None pairs", "inf pairs", "empty"],
)
def test_bounds_that_restrict_nothing_are_none(call, solver, bounds):
    call(never, X0, jac=True, bounds=bounds)
    assert len(solver) == 1
    assert solver[0][0].box is None


@pytest.mark.parametrize(
    ("bounds", "lower", "upper"),
    [
        (Bounds(-2, np.inf), [-2] * 4, [np.inf] * 4),
        (Bounds([-2, -1, -np.inf, -2], 1, keep_feasible=False), [-2, -1, -np.inf, -2], [1] * 4),
        ([(None, 1), (-3, None), (None, None), (-1, 1)], [-np.inf, -3, -np.inf, -1], None),
        ([(-2, 2)], [-2] * 4, [2] * 4),
        (np.array([[-2, 2]] * 4), [-2] * 4, [2] * 4),
        (Box(np.full((2, 2), -2.0), 2), [-2] * 4, [2] * 4),
        ([(-1.2, -1.2)] + [(np.int32(-2), np.float32(2))] * 3, [-1.2, -2, -2, -2], None),
    ],
    ids=["scalars", "mixed", "pairs", "one pair", "array", "Box", "fixed"],
)
def test_bounds_in_all_forms(call, loop, bounds, lower, upper):
    call(never, X0, jac=True, bounds=bounds)
    objective = loop[0]
    assert np.array_equal(objective.box.lower, lower)
    assert upper is None or np.array_equal(objective.box.upper, upper)
    assert np.array_equal(objective.x0, X0)


def test_a_start_outside_is_projected_with_a_warning(call, loop):
    with pytest.warns(RuntimeWarning, match="x0 is outside of the bounds in 2 of 4 variables") as w:
        call(never, X0, jac=True, bounds=[(-1, 1), (None, 2), (0, 0.5), (-1, None)])
    assert len(w) == 1
    assert loop[0].x0.tolist() == [-1, 1, 0.5, -0.3]


@pytest.mark.parametrize(
    "constraints",
    [
        LinearConstraint(np.ones((1, 4)), 0, 1),
        [LinearConstraint(np.ones((1, 4)), 0, 1)],
        {"type": "eq", "fun": lambda x: x[0]},
        ({"type": "ineq", "fun": lambda x: x[0]},),
    ],
    ids=["object", "list", "dict", "tuple"],
)
def test_constraints_are_refused(call, constraints):
    with pytest.raises(ValueError, match=r"hybrid-tr takes no constraints; .*LSR1Strategy"):
        call(never, X0, jac=True, constraints=constraints)


@pytest.mark.parametrize("constraints", [None, (), [], {}], ids=repr)
def test_no_constraints(call, solver, constraints):
    call(never, X0, jac=True, constraints=constraints)
    assert len(solver) == 1


@pytest.mark.parametrize("name", ["hess", "hessp"])
def test_second_derivatives_are_not_used(call, solver, name):
    checks._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match=rf"does not use Hessian information \({name}\)"):
        call(never, X0, jac=True, **{name: never})


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"options": {"memry": 3}}, TypeError, "unknown option 'memry'; did you mean 'memory'"),
        ({"options": {"memory": 0}}, ValueError, "memory must be an integer >= 1, got 0"),
        ({"options": {"gamma": "none"}}, ValueError, "gamma must be"),
        ({"tol": "small"}, TypeError, "gtol must be a number >= 0, got str"),
        ({"callback": 3}, TypeError, "callback must be callable"),
        ({"callback": lambda xk, state: None}, TypeError, "callback must take one argument"),
    ],
)
def test_wrong_arguments_are_refused(call, kwargs, error, words):
    with pytest.raises(error, match=words):
        call(never, X0, jac=True, **kwargs)


@pytest.mark.parametrize("x0", [[1j, 2.0], [np.nan, 1.0], []], ids=["complex", "nan", "empty"])
def test_wrong_start_is_refused(call, x0):
    with pytest.raises((TypeError, ValueError), match="x0 "):
        call(never, x0, jac=True)


def test_options_must_be_a_mapping():
    with pytest.raises(TypeError, match="options must be a mapping such as a dict, got list"):
        minimize(never, X0, jac=True, options=[("memory", 3)])


# -- the real solver ------------------------------------------------------------------------------


def same(a, b):
    assert (a.x == b.x).all() and (a.jac == b.jac).all() and a.fun == b.fun
    assert (a.nit, a.nfev, a.njev, a.status) == (b.nit, b.nfev, b.njev, b.status)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("objective", [fun, rosen_both], ids=["wells", "rosenbrock"])
@pytest.mark.parametrize("options", [{}, {"memory": 3, "gtol": 1e-3}, {"maxiter": 4}], ids=repr)
def test_all_three_calls_give_the_same_run(objective, dtype, options):
    x0 = X0.astype(dtype)
    kwargs = {"jac": True, "options": options}
    runs = [call(objective, x0, **kwargs) for call in CALLS.values()]
    same(runs[0], runs[1])
    same(runs[0], runs[2])
    assert runs[0].x.dtype == dtype


def test_evaluations_through_scipy_are_the_users_own():
    counts = []
    for call in CALLS.values():
        points = []

        def counted(x, points=points):
            points.append(x)
            return rosen_both(x)

        result = call(counted, X0, jac=True)
        assert len(points) == result.nfev
        counts.append(result.nfev)
    assert len(set(counts)) == 1


def test_gradient_by_callable_equals_gradient_with_the_value():
    same(minimize(rosen, X0, jac=rosen_der), minimize(rosen_both, X0, jac=True))


@pytest.mark.parametrize("jac", [None, False, "2-point", "3-point"])
def test_finite_differences(jac):
    points = []

    def counted(x):
        points.append(x)
        return fun(x)[0]

    result = minimize(counted, X0, jac=jac)
    assert result.success and np.allclose(np.abs(result.x), np.sqrt(0.5), atol=1e-4)
    assert result.nfev == len(points)


def test_difference_scheme_arrives_through_scipy_as_forward_differences():
    def f_only(x):
        return fun(x)[0]

    through_scipy = scipy.optimize.minimize(f_only, X0, jac="3-point", method=hybrid_tr)
    same(through_scipy, minimize(f_only, X0, jac="2-point"))


@pytest.mark.parametrize("args", [(2.0,), 2.0])
def test_args(call, args):
    result = call(lambda x, a: (a * fun(x)[0], a * fun(x)[1]), X0, args, jac=True)
    assert result.success and result.fun == pytest.approx(-2.0)


@pytest.mark.parametrize("shape", [(4,), (2, 2), (4, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_stay_in_their_library_and_on_their_device(shape, dtype, xp):
    x0 = X0.reshape(shape).astype(dtype)
    reference = minimize(fun, x0, jac=True)
    x0 = xp.asarray(x0, dtype)
    result = minimize(fun, x0, jac=True)
    assert result.success and result.nfev == reference.nfev
    assert result.fun == pytest.approx(reference.fun, rel=float(np.finfo(dtype).eps) * X0.size)
    for a in (result.x, result.jac):
        assert a.shape == shape and a.dtype == x0.dtype
        assert array_api_compat.array_namespace(a) is xp.namespace
        assert array_api_compat.device(a) == array_api_compat.device(x0)


def test_x0_is_never_changed(call):
    x0 = X0.copy()
    call(fun, x0, jac=True)
    assert (x0 == X0).all()


def test_callback_sees_x_in_the_users_shape_and_may_change_it():
    results, points = [], []

    def by_result(intermediate_result):
        results.append(intermediate_result.x.copy())
        intermediate_result.x[:] = 99.0
        intermediate_result.jac[:] = 99.0

    def by_x(xk):
        points.append(xk.copy())
        xk[:] = 99.0

    x0 = X0.reshape(2, 2)
    runs = [minimize(fun, x0, jac=True, callback=c) for c in (None, by_result, by_x)]
    same(runs[0], runs[1])
    same(runs[0], runs[2])
    assert len(results) == len(points) == runs[0].nit
    assert all(x.shape == (2, 2) for x in results)
    assert (np.array(results) == np.array(points)).all()
    assert (results[-1] == runs[0].x).all()


@pytest.mark.parametrize("k", [1, 4])
def test_stopping_in_the_callback_equals_maxiter(call, k):
    seen = []

    def stop(xk):
        seen.append(xk)
        if len(seen) == k:
            raise StopIteration

    stopped = call(rosen_both, X0, jac=True, callback=stop)
    limited = call(rosen_both, X0, jac=True, options={"maxiter": k})
    assert (stopped.x == limited.x).all() and stopped.nit == limited.nit == k
    assert stopped.status == Status.CALLBACK_STOP and not stopped.success
    assert limited.status == Status.MAXITER and not limited.success


@pytest.mark.parametrize("where", ["fun", "callback"])
def test_exceptions_come_through_unchanged(call, where):
    def fail(x):
        raise LookupError("from the user")

    kwargs = {"callback": fail} if where == "callback" else {}
    with pytest.raises(LookupError, match="from the user"):
        call(fail if where == "fun" else rosen_both, X0, jac=True, **kwargs)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_at_the_start_is_a_status(call, bad):
    result = call(lambda x: (bad, x), X0, jac=True)
    assert result.status == Status.NON_FINITE_START and not result.success
    assert (result.x == X0).all() and (result.jac == X0).all() and result.nfev == 1


def test_start_at_a_minimiser(call):
    result = call(fun, np.full(3, np.sqrt(0.5)), jac=True)
    assert result.success and (result.nit, result.nfev) == (0, 1)


def test_one_variable_given_as_a_number(call):
    result = call(lambda x: (x[0] ** 2 - x[0], 2 * x - 1), 3.0, jac=True)
    assert result.success and result.x.shape == (1,) and result.x[0] == pytest.approx(0.5)


def test_nested_runs_do_not_disturb_each_other():
    alone = minimize(rosen_both, X0, jac=True)

    def nested(x):
        minimize(fun, X0, jac=True, options={"maxiter": 2})
        return rosen_both(x)

    same(minimize(nested, X0, jac=True), alone)


def test_threads_do_not_disturb_each_other():
    alone = minimize(rosen_both, X0, jac=True)
    runs = []
    threads = [
        threading.Thread(target=lambda: runs.append(minimize(rosen_both, X0, jac=True)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 4
    for run in runs:
        same(run, alone)


def test_summary_of_newton_counts_products(capsys):
    options = {"disp": True}
    result = minimize(
        rosen, [0.0, 0.0], jac=rosen_der, method="newton-tr", hessp=rosen_hess_prod, options=options
    )
    assert f"Products with the Hessian: {result.nhev}\n" in capsys.readouterr().out


def test_hess_in_another_library_is_refused():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="the Hessian must be an array of array_api_strict"):
        minimize(
            lambda x: (strict.sum(x * x), 2.0 * x),
            strict.asarray([1.0, 2.0]),
            jac=True,
            method="newton-tr",
            hess=lambda x: np.eye(2),
        )


def test_disp_prints_a_summary(capsys):
    result = minimize(lambda x: (float(x @ x), 2 * x), [1.0, 2.0], jac=True, options={"disp": True})
    printed = capsys.readouterr().out
    assert result.message in printed
    assert f"Function evaluations: {result.nfev}" in printed
    minimize(lambda x: (float(x @ x), 2 * x), [1.0, 2.0], jac=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("method", ["lsr1-tr", "hybrid-tr"])
def test_second_derivatives_that_are_always_given_are_spoken_of_once(method):
    checks._warn_once.cache_clear()
    both = {"jac": True, "hess": lambda x: 2 * np.eye(x.size)}
    with pytest.warns(RuntimeWarning) as caught:
        for _ in range(3):
            minimize(lambda x: (x @ x, 2 * x), X0, method=method, **both)
    assert [str(warning.message) for warning in caught] == [
        f"Method {method} does not use Hessian information (hess)."
    ]
    assert caught[0].filename.endswith("interface.py")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("jac", [True, rosen_der, "2-point"])
def test_the_last_point_that_fun_sees_is_the_result(method, jac):
    seen, once_more, x0 = [], 0, [-1.2, 1.0, -1.2, 1.0]

    def fun(x):
        seen.append(x)
        return rosen_both(x) if jac is True else rosen(x)

    for maxfev in range(1, 30):
        options = {"maxfev": maxfev}
        plain = minimize(fun, x0, jac=jac, method=method, options=options)
        missing = not np.array_equal(seen[-1], plain.x)
        seen.clear()
        options["evaluate_last"] = True
        result = minimize(fun, x0, jac=jac, method=method, options=options)
        np.testing.assert_array_equal(seen[-1], result.x)
        np.testing.assert_array_equal(result.x, plain.x)
        assert result.nfev == len(seen) == plain.nfev + missing
        once_more += missing
    # A search ends at its last trial, but for some that it has to give up.
    assert once_more > 0 or method == "lsr1-ls"
