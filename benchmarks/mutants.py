"""Mutation test: change one place of the code at a time and see whether a test fails.

The tests run once on the code as it is, to note which of them reach which line and what they take.
Then a random sample is drawn of all places where a comparison, an operator, a sign, a number, a
condition or a returned value can be changed, and on each change the tests that reach its line run,
the fastest first, until one fails.  A change that none of them notices has survived: a gap in the
tests, or no change in what the code does.  Messages, annotations and docstrings are left alone.

    python -m benchmarks.mutants --sample 170 --seed 0

Needs pytest, hypothesis and coverage.  The first run takes some 200 seconds of processor time, a
change that is noticed 2.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib import import_module
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import hypothesis
import pytest
import scipy.optimize  # noqa: F401  (once for all children)

PACKAGES = ("qnsolve/subproblem", "qnsolve/quasi_newton")
TESTS = ("tests/subproblem", "tests/quasi_newton", "tests/test_verify.py", *PACKAGES)
PYTEST = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
CPU_SECONDS = 120  # of one mutant: it may never end

COMPARED = {ast.Lt: ast.LtE, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.Is: ast.IsNot}
COMPARED |= {ast.In: ast.NotIn} | {new: old for old, new in COMPARED.items()}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
COMPUTED |= {ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult, ast.And: ast.Or, ast.Or: ast.And}


class Mutant(NamedTuple):
    """A change to the node at `index` of a walk over the tree of `path`."""

    path: str
    line: int
    kind: str
    index: int


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk over all that is computed."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if isinstance(tree, ast.Raise) or name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield from nodes(child)


def changes(node: ast.AST) -> dict[str, dict[str, Any]]:
    """Return the kinds of change that can be made to `node`, and the fields that make them."""
    found: dict[str, dict[str, Any]] = {}
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        found["comparison"] = {"ops": [COMPARED[type(node.ops[0])](), *node.ops[1:]]}
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in COMPUTED:
        found["operator"] = {"op": COMPUTED[type(node.op)]()}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        found["sign"] = {"op": ast.UAdd()}
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        larger = node.value + 1 if isinstance(node.value, int) else 2.0 * node.value or 1.0
        found["constant"] = {"value": not node.value if isinstance(node.value, bool) else larger}
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        found["condition"] = {"test": ast.UnaryOp(ast.Not(), node.test)}
    if isinstance(node, ast.Return) and node.value is not None:
        found["return"] = {"value": ast.Constant(None)}
    return found


class Mutated:
    """An importer of one module as it is after a change; `words` is the changed code."""

    def __init__(self, mutant: Mutant) -> None:
        self._file, tree = Path(mutant.path).resolve(), ast.parse(Path(mutant.path).read_text())
        self.name = mutant.path.removesuffix(".py").replace("/", ".")
        node = list(nodes(tree))[mutant.index]
        for name, value in changes(node)[mutant.kind].items():
            setattr(node, name, value)
        self._code = compile(ast.fix_missing_locations(tree), str(self._file), "exec")
        self.words = ast.unparse(node).splitlines()[0]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        spec = spec_from_file_location(name, self._file)
        spec.loader.get_code = lambda name: self._code
        return spec


class Watch:
    """A pytest plugin that notes which test reaches which line, and what it takes; if it passes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.coverage = coverage.Coverage(data_file=None, source=PACKAGES)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        start = time.process_time()
        yield
        if item.nodeid not in self.failed:
            self.seconds[item.nodeid] = time.process_time() - start

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    def reached(self) -> dict[str, list[str]]:
        """Return the tests that reach each "path:line" and each path, the fastest first."""
        found, data = defaultdict(set), self.coverage.get_data()
        for path in map(os.path.relpath, data.measured_files()):
            for line, tests in data.contexts_by_lineno(os.path.abspath(path)).items():
                found[f"{path}:{line}"] = self.seconds.keys() & set(tests)
                found[path] |= found[f"{path}:{line}"]
        return {place: sorted(tests, key=self.seconds.get) for place, tests in found.items()}


def in_child(tests: list[str], log: Path, mutant: Mutated | None = None) -> int:
    """Run tests in a process that has not yet imported the package; return its status."""
    child = os.fork()
    if not child:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        options = [*PYTEST, "--hypothesis-profile=mutants"]
        if mutant is None:
            watch = Watch()
            with watch.coverage.collect():
                import_module("qnsolve")
                pytest.main([*options, *tests], plugins=[watch])
            log.with_suffix(".json").write_text(json.dumps(watch.reached()))
        else:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            sys.meta_path.insert(0, mutant)
            try:  # before pytest finds the file of a module that the package does not import
                import_module("qnsolve")
                import_module(mutant.name)
            except Exception:
                os._exit(1)
            os._exit(int(pytest.main([*options, "-x", *tests])))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=170)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=10, help="examples of a drawn test")
    parser.add_argument("--out", type=Path, default=Path("build/mutants"), help="folder")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {"max_examples": args.examples, "derandomize": True, "deadline": None}
    hypothesis.settings.register_profile("mutants", **settings, database=None)
    log = args.out / "as_it_is.log"
    in_child(list(TESTS), log)
    reached = json.loads(log.with_suffix(".json").read_text())
    mutants = [
        Mutant(str(path), node.lineno, kind, index)
        for package in PACKAGES
        for path in sorted(Path(package).glob("*.py"))
        for index, node in enumerate(nodes(ast.parse(path.read_text())))
        for kind in changes(node)
    ]
    verdicts: Counter[str] = Counter()
    for mutant in sorted(random.Random(args.seed).sample(mutants, args.sample)):
        # What runs on import is the matter of all tests of its file.
        tests = reached.get(f"{mutant.path}:{mutant.line}") or reached[mutant.path]
        mutated = Mutated(mutant)
        status = in_child(tests, args.out / "last.log", mutated)
        verdict = "survived" if status == 0 else "late" if status < 0 else "killed"
        verdicts[verdict] += 1
        words = f"{mutant.path}:{mutant.line} {mutant.kind}: {mutated.words}"
        print(f"{verdict:<9}{len(tests):>5} tests  {words}", flush=True)
    print(f"{dict(verdicts)} of a sample of {args.sample} of {len(mutants)} possible")


if __name__ == "__main__":
    main()
