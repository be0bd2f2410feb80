"""Options: defaults, ranges, and error messages that name what was meant."""

import dataclasses
import math
import re

import numpy as np
import pytest

from qnsolve.norms import DiagonalNorm
from qnsolve.options import (
    INSTEAD,
    SAME_AS,
    WEIGHT_RULES,
    CubicOptions,
    HybridOptions,
    LineSearchOptions,
    ModelOptions,
    NewtonOptions,
    PairOptions,
    RadiusOptions,
    SolverOptions,
    TrustRegionOptions,
)
from qnsolve.solvers.weight import RULES
from qnsolve.stochastic.options import LineSearchStepOptions, StepOptions

EPS64 = float(np.finfo(np.float64).eps)
EPS32 = float(np.finfo(np.float32).eps)


def from_user(eps=EPS64, **options):
    return TrustRegionOptions.from_user(options, eps)


def test_defaults():
    assert dataclasses.asdict(from_user()) == {
        "memory": 10,
        "gtol": 1e-5,
        "ftol": 0.0,
        "xtol": EPS64,
        "maxiter": 15000,
        "maxfev": None,
        "maxtime": None,
        "evaluate_last": False,
        "disp": False,
        "history": False,
        "checkpoint": None,
        "checkpoint_every": None,
        "checkpoint_seconds": 60.0,
        "eps": None,
        "finite_diff_rel_step": None,
        "workers": None,
        "gamma": "window-max",
        "store_rejected": "near",
        "modified_secant": False,
        "matrix": None,
        "first_step": None,
        "norm": "l2",
        "compiled": True,
        "initial_radius": None,
        "max_radius": math.inf,
        "radius_rule": None,
        "accept": 1e-4,
        "shrink_below": 0.1,
        "grow_above": 0.75,
    }


def test_tolerances_follow_the_dtype():
    options = from_user(EPS32)
    assert options.gtol == EPS32 ** (1 / 3) and options.xtol == EPS32
    assert SolverOptions.from_user({"gtol": None, "xtol": None}, EPS32).gtol == options.gtol


def test_options_are_frozen_and_every_field_is_documented():
    with pytest.raises(dataclasses.FrozenInstanceError):
        from_user().memory = 3
    for cls in (
        SolverOptions,
        PairOptions,
        ModelOptions,
        RadiusOptions,
        TrustRegionOptions,
        CubicOptions,
        NewtonOptions,
        LineSearchOptions,
    ):
        for name in cls.__annotations__.keys() & {f.name for f in dataclasses.fields(cls)}:
            assert f"\n    {name} : " in cls.__doc__


def test_users_mapping_is_left_alone():
    given = {"tol": 1e-3, "memory": 4}
    TrustRegionOptions.from_user(given, EPS64)
    assert given == {"tol": 1e-3, "memory": 4}


@pytest.mark.parametrize(
    ("given", "gtol"),
    [
        ({"tol": 1e-3}, 1e-3),
        ({"tol": 0}, 0.0),
        ({"tol": None}, 1e-5),
        ({"tol": 1e-3, "gtol": 1e-7}, 1e-7),
        ({"tol": 1e-3, "gtol": None}, 1e-3),
    ],
)
def test_tol_is_another_name_of_gtol(given, gtol):
    assert from_user(**given).gtol == gtol


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("memmory", "did you mean 'memory'"),
        ("max_itr", "did you mean 'maxiter'"),
        ("max_fev", "did you mean 'maxfev'"),
        ("zzz", "the options are gtol, .*, norm, compiled$"),
        ("factr", "use ftol = factr"),
        ("xrtol", "use xtol"),
        ("iprint", "use disp"),
        ("verbose", "use disp"),
        ("return_all", "use history"),
        ("maxls", ".*use maxfev"),
        ("lr", ".*use initial_radius"),
        ("line_search_fn", "method='lsr1-ls'"),
        ("callback", ".*beside options"),
    ],
)
def test_unknown_option_names_the_nearest(name, words):
    with pytest.raises(TypeError, match=rf"unknown option '{name}'; {words}"):
        TrustRegionOptions.from_user({name: 1}, EPS64)


def test_suggestions_come_from_the_class_in_use():
    with pytest.raises(TypeError, match=r"unknown option 'eta'; (?!.*accept)"):
        SolverOptions.from_user({"eta": 1}, EPS64)


# name, a value of the wrong type, values out of range, values at the edge of the range
CASES = [
    ("gtol", "1e-5", [-1e-9, math.nan], [0, 1.0]),
    ("ftol", None, [-1.0, math.nan], [0.0]),
    ("xtol", [1e-9], [-1.0, math.nan], [0.0]),
    ("maxiter", None, [-1], [0]),
    ("maxfev", 1.5, [0, -5], [1, None]),
    ("maxtime", "60", [0, -1.0, math.nan], [1e-9, 60, math.inf, None]),
    ("evaluate_last", "yes", [2, -1], [True, False]),
    ("disp", "yes", [2, 99, -1], [True, False]),
    ("history", None, [2], [True, False]),
    (
        "checkpoint",
        1,
        [
            "",
        ],
        ["run.npz", None],
    ),
    ("checkpoint_every", 1.5, [0, -5], [None]),
    ("checkpoint_seconds", "60", [0, -1.0, math.nan], [1e-9, math.inf, None]),
    ("eps", "1e-8", [0.0, -1.0, math.nan, math.inf, (1.0, 0.0)], [1e-300, 1, (1.0, 2.0), None]),
    ("finite_diff_rel_step", 1j, [0.0, -1.0, math.inf], [1e-8, (0.1,), None]),
    ("workers", 1.5, [0, -2], [1, -1, 3, map, None]),
    ("memory", "10", [0, -1], [1, 10**6]),
    ("gamma", None, [0.0, math.nan, "no-such-rule"], [-1.0, 2, "latest", lambda *_: 1.0]),
    ("store_rejected", None, ["far", 2], [True, False, "near"]),
    ("modified_secant", 1.0, [2], [True, False]),
    ("matrix", "lsr1", [], [print, None]),
    ("first_step", 1, [], [print, None]),
    (
        "initial_radius",
        1j,
        [0.0, -1.0, math.nan, math.inf, "steps"],
        [1e-300, 5, None, "gradient"],
    ),
    ("max_radius", None, [0.0, -1.0, math.nan], [1e-9, math.inf]),
    ("radius_rule", "halve", [], [print, None]),
    ("accept", 1j, [-1e-9, 1.0, math.nan], [0, 0.1]),
    ("shrink_below", None, [0.0, 1.0, math.nan], [1e-4, 0.5]),
    ("grow_above", None, [0.0, 1.0, math.nan], [0.11, 0.999]),
    ("norm", 2, ["l1", "", "shape"], ["l2", "shape-inf", "shape-2", DiagonalNorm(np.ones(2))]),
    ("compiled", "yes", [2], [True, False]),
]
NEWTON_CASES = [
    ("norm", 2, ["l1", "", "shape"], ["l2", "adagrad", "rmsprop", DiagonalNorm(np.ones(2))]),
    ("decay", None, [0.0, 1.0, math.nan], [1e-9, 0.999]),
    (
        "norm_bounds",
        1.0,
        [(0.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (math.inf, math.inf)],
        [(1.0, 1.0), (1e-9, math.inf)],
    ),
    ("normalise", 0.0, [], [True, False]),
    ("inner", None, ["", "cg"], ["steihaug", "gltr"]),
    ("inner_maxiter", math.nan, [0, -5], [1, None]),
    ("forcing", None, [0.0, 1.0, math.nan], [1e-9, 0.999]),
]
LINE_SEARCH_CASES = [
    ("gamma", None, [0.0, math.nan, "no-such-rule"], [-1.0, 2, "latest", lambda *_: 1.0]),
    ("initial_step", 1j, [0.0, -1.0, math.nan, math.inf], [1e-300, 5, None]),
    ("first_trial", None, ["", "both"], ["unit", "previous"]),
    ("modify", 1, ["", "never"], ["indefinite", "ascent"]),
    ("decrease", None, [0.0, 1.0, math.nan], [1e-9, 0.8]),
    ("curvature", None, [0.0, 1.0, math.nan], [1e-3, 0.999]),
]
CUBIC_CASES = [
    ("norm", None, ["shape-inf", ""], ["shape", "l2", DiagonalNorm(np.ones(2))]),
    ("initial_weight", "1", [0.0, -1.0, math.nan, math.inf], [1e-300, 5, None]),
    ("weight_rule", 3, ["halve", ""], ["interpolation", "arcs", "cgt", print]),
    ("accept", 1j, [-1e-9, 1.0, math.nan], [0, 0.1]),
    ("grow_below", None, [0.0, 1.0, math.nan], [1e-4, 0.5]),
    ("shrink_above", None, [0.0, 1.0, math.nan], [0.11, 0.999]),
    ("longest_step", None, [0.0, -1.0, math.nan], [0.5, math.inf]),
]
CASES_OF = {
    TrustRegionOptions: CASES,
    CubicOptions: CUBIC_CASES,
    NewtonOptions: NEWTON_CASES,
    LineSearchOptions: LINE_SEARCH_CASES,
}
ALL_CASES = [(cls, *case) for cls, cases in CASES_OF.items() for case in cases]


def test_every_option_has_a_case():
    names = [f.name for f in dataclasses.fields(TrustRegionOptions)]
    assert [case[0] for case in CASES] == names
    for cls, parent in (
        (CubicOptions, ModelOptions),
        (NewtonOptions, RadiusOptions),
        (LineSearchOptions, PairOptions),
    ):
        shared = [f.name for f in dataclasses.fields(parent)]
        own = [case[0] for case in CASES_OF[cls]]
        assert [*shared, *own] == [f.name for f in dataclasses.fields(cls)]
        assert set(shared) <= set(names)


@pytest.mark.parametrize(
    ("cls", "name", "value"), [(cls, name, wrong) for cls, name, wrong, _, _ in ALL_CASES]
)
def test_wrong_type_is_named(cls, name, value):
    with pytest.raises(TypeError, match=rf"^{name} must be .*got {type(value).__name__}"):
        cls(**{name: value})


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [(cls, name, value) for cls, name, _, out, _ in ALL_CASES for value in out],
)
def test_value_out_of_range_is_shown_with_the_range(cls, name, value):
    with pytest.raises(
        ValueError, match=rf"^{name} must be .*(got {re.escape(repr(value))}|not zero)"
    ):
        cls.from_user({name: value}, EPS64)


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [(cls, name, value) for cls, name, *_, edge in ALL_CASES for value in edge],
)
def test_value_at_the_edge_is_taken(cls, name, value):
    assert getattr(cls.from_user({name: value}, EPS64), name) == value


@pytest.mark.parametrize("name", ["memory", "maxiter", "maxfev", "gtol", "ftol", "gamma"])
@pytest.mark.parametrize("value", [True, np.True_])
def test_booleans_are_not_numbers(name, value):
    with pytest.raises(TypeError, match=f"{name} must be"):
        from_user(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("memory", np.int64(7), int),
        ("maxiter", np.uint8(7), int),
        ("gtol", np.float32(0.5), float),
        ("gtol", np.int16(1), float),
        ("max_radius", 3, float),
        ("disp", np.True_, bool),
    ],
)
def test_numpy_scalars_become_python_numbers(name, value, kind):
    taken = getattr(from_user(**{name: value}), name)
    assert type(taken) is kind and taken == value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"accept": 0.2}, "accept must be <= shrink_below, got 0.2 and 0.1"),
        ({"shrink_below": 0.8}, "shrink_below must be < grow_above, got 0.8 and 0.75"),
        ({"initial_radius": 2, "max_radius": 1}, "initial_radius must be <= max_radius, got 2.0"),
    ],
)
def test_options_that_contradict_each_other(given, words):
    with pytest.raises(ValueError, match=words):
        from_user(**given)


def test_line_search_options_that_contradict_each_other():
    with pytest.raises(ValueError, match="decrease must be < curvature"):
        LineSearchOptions(decrease=0.5, curvature=0.1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"accept": 0.2}, "accept must be <= grow_below, got 0.2 and 0.1"),
        ({"grow_below": 0.8}, "grow_below must be < shrink_above, got 0.8 and 0.75"),
    ],
)
def test_cubic_options_that_contradict_each_other(given, words):
    with pytest.raises(ValueError, match=words):
        CubicOptions(**given)


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("maxiter", 100.0, 100),
        ("maxiter", np.float32(7.0), 7),
        ("maxfev", np.array([3]), 3),
        ("memory", np.array(5.0), 5),
        ("gtol", np.array(1e-3), 1e-3),
        ("gtol", np.array([1e-3]), 1e-3),
        ("gamma", np.array(2.0), np.array(2.0)),
        ("disp", None, False),
        ("disp", 1, True),
        ("disp", np.int64(0), False),
        ("history", 1, True),
        ("history", np.False_, False),
        ("history", np.array(True), True),
        ("store_rejected", 0, False),
    ],
)
def test_what_wrappers_of_scipy_pass_is_taken(name, value, taken):
    assert getattr(from_user(**{name: value}), name) == taken


@pytest.mark.parametrize("name", ["maxiter", "memory", "maxfev", "maxtime", "gtol", "xtol"])
@pytest.mark.parametrize(
    "value", [math.nan, np.array(math.nan), np.ones(2), np.ma.masked_array([1.0]), np.array("1")]
)
def test_what_is_never_taken_for_a_number(name, value):
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
        from_user(**{name: value})


@pytest.mark.parametrize("value", [2, 99, np.int64(3)])
def test_levels_of_output_are_refused_until_there_are_some(value):
    with pytest.raises(ValueError, match=r"^disp must be True or False, 1 or 0, got .*one level"):
        from_user(disp=value)


@pytest.mark.parametrize(("theirs", "ours"), SAME_AS.items())
def test_names_of_scipy_that_mean_the_same_are_taken(theirs, ours):
    takers = [
        cls
        for cls in (HybridOptions, CubicOptions, LineSearchOptions, NewtonOptions)
        if ours in {f.name for f in dataclasses.fields(cls)}
    ]
    assert takers
    for cls in takers:
        value = 0.05 if ours in ("accept", "gtol", "decrease", "curvature") else 3
        assert getattr(cls.from_user({theirs: value}, EPS64), ours) == value
        with pytest.raises(TypeError, match=f"{theirs} is another name for {ours}"):
            cls.from_user({theirs: value, ours: value}, EPS64)


def test_names_of_scipy_with_another_meaning_are_none_of_ours():
    names = {
        f.name
        for cls in (HybridOptions, CubicOptions, LineSearchOptions, NewtonOptions)
        for f in dataclasses.fields(cls)
    }
    # Its norm is that of gtol, the region's is another.
    assert names.isdisjoint(SAME_AS) and names.intersection(INSTEAD) == {"norm"}
    with pytest.raises(TypeError, match="gtol is for the largest component"):
        LineSearchOptions.from_user({"norm": math.inf}, EPS64)
    for name in ("maxcor", "memory"):  # there are no pairs
        with pytest.raises(TypeError, match=f"unknown option '{name}'; the options are gtol"):
            NewtonOptions.from_user({name: 3}, EPS64)


def test_training_has_the_same_rules():
    assert LineSearchStepOptions.from_user({"maxcor": 3, "c1": 1e-3, "overlap": 0}).memory == 3
    with pytest.raises(ValueError, match=r"decrease must be < curvature, got 0\.95 and 0\.9"):
        LineSearchStepOptions(decrease=0.95)
    with pytest.raises(TypeError, match="unknown option 'overlp'; did you mean 'overlap'"):
        StepOptions.from_user({"overlp": True})


def test_names_of_rules_are_those_of_the_table():
    assert WEIGHT_RULES == tuple(RULES)
