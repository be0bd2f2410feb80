"""Comparison of solvers by evaluations: runs, profiles and tables."""

from benchmarks.profiling.contenders import (
    BOUNDED_CONTENDERS,
    DEFAULT_CONTENDERS,
    REFERENCE,
    Contender,
    parse_contender,
)
from benchmarks.profiling.figure import profiles
from benchmarks.profiling.measure import GTOL, TESTS, Objective, Run, measure, objective_of
from benchmarks.profiling.report import TEST_TEXT, report, table
from benchmarks.profiling.statistics import (
    Comparison,
    by_solver,
    compare,
    cost_table,
    data_profile,
    performance_profile,
)

__all__ = [
    "BOUNDED_CONTENDERS",
    "DEFAULT_CONTENDERS",
    "GTOL",
    "REFERENCE",
    "TESTS",
    "TEST_TEXT",
    "Comparison",
    "Contender",
    "Objective",
    "Run",
    "by_solver",
    "compare",
    "cost_table",
    "data_profile",
    "measure",
    "objective_of",
    "parse_contender",
    "performance_profile",
    "profiles",
    "report",
    "table",
]
