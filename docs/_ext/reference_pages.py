"""Writes the reference pages from the package itself: a page a public name, and the tables.

Nothing is listed here twice: names come from ``__all__`` or from what a module defines, the tables
of statuses, options, presets and costs from the objects and their docstrings.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path
from types import ModuleType

from numpydoc.docscrape import NumpyDocString
from sphinx.ext.autodoc.mock import mock

from qnsolve.presets import Preset

PAGES = {
    "qnsolve": "The package",
    "qnsolve.verify": "Certificates",
    "qnsolve.subproblem.step_check": "Verdicts on steps",
    "qnsolve.options": "Options as classes",
    "qnsolve.presets": "Presets",
    "qnsolve.published": "Parts of published methods",
    "qnsolve.problems": "Problems",
    "qnsolve.plotting": "Figures",
    "qnsolve.stochastic": "Training on batches",
    "qnsolve.stochastic.options": "Options of training",
    "qnsolve.stochastic.presets": "Presets of training",
    "qnsolve.stochastic.loss": "What a loss may have",
    "qnsolve.stochastic.torch_adapter": "PyTorch modules",
    "qnsolve.stochastic.torch_optim": "PyTorch optimisers",
    "qnsolve.stochastic.jax_adapter": "JAX functions",
    "qnsolve.kernels": "Compiled loops",
    "qnsolve.comm": "Vectors over several ranks",
    "qnsolve.parallel": "Sums over shards of data",
    "qnsolve.quasi_newton.operators": "The matrix of a result",
    "qnsolve.quasi_newton.psi": "L-SR1 in half the memory",
    "qnsolve.quasi_newton.scaling": "Rules for gamma",
    "qnsolve.solvers.matrices": "Factories of matrices",
    "qnsolve.solvers.radius": "Rules for the radius",
    "qnsolve.solvers.weight": "Rules for the weight",
    "qnsolve.solvers.first_step": "First steps",
    "qnsolve.solvers.moving_norms": "Norms that follow the gradients",
    "qnsolve.differences": "Gradients by differences",
    "qnsolve.bounds": "Bounds",
}
"""Modules with a page, in order; one that does not exist yet is left out."""

FEWER = {
    "qnsolve.kernels": ["use"],
    "qnsolve.differences": ["Differences"],
    "qnsolve.subproblem.step_check": ["StepCheck", "Verdict"],
    "qnsolve.bounds": ["Box"],
    "qnsolve.quasi_newton.operators": ["MatrixOperator"],
    "qnsolve.quasi_newton.psi": ["PsiLSR1"],
    "qnsolve.comm": ["Comm", "Serial", "MPI", "RankError"],
    "qnsolve.parallel": ["ShardSum"],
    "qnsolve.stochastic.loss": ["Loss"],
    "qnsolve.stochastic.torch_optim": ["QuasiNewton"],
}
"""The names to show of modules that have no ``__all__`` and more than is for users."""

BORROWED = ("torch", "jax", "numba")
"""Libraries that a module may import at its top; where one is missing, a stand-in will do."""

ORIGINS = {
    "qnsolve.interface": "Minimise",
    "qnsolve.methods": "Minimise",
    "qnsolve.result": "Minimise",
    "qnsolve.ask_tell": "Minimise",
    "qnsolve.curvature": "Minimise",
    "qnsolve.many": "Minimise",
    "qnsolve.solvers.handover": "Minimise",
    "qnsolve.quasi_newton": "Matrices",
    "qnsolve.subproblem": "Subproblems",
    "qnsolve.norms": "Subproblems",
}
"""Heading of a name of the package, by where it is defined; the rest is under "More"."""


def write_pages(folder: Path) -> None:
    """Write all pages into `folder`, and remove those of names that are gone."""
    written: set[Path] = set()

    def write(name: str, text: str) -> None:
        path = folder / f"{name}.rst"
        # An unchanged file keeps its time stamp, so that Sphinx need not read it again.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        written.add(path)

    folder.mkdir(parents=True, exist_ok=True)
    modules = [module for name in PAGES if (module := existing(name))]
    for module in modules:
        names = public_names(module)
        write(module.__name__, module_page(module, names))
        for name in names:
            if not is_constant(module, name):
                full = f"{module.__name__}.{name}"
                write(full, object_page(full, getattr(module, name)))
    write("statuses", statuses_page())
    write("options", options_page())
    write("costs", costs_page(modules))
    for stale in set(folder.glob("*.rst")) - written:
        stale.unlink()


def existing(name: str) -> ModuleType | None:
    """Return the module with public names, None where it does not exist."""
    try:
        if importlib.util.find_spec(name) is None:
            return None
    except ModuleNotFoundError:  # its package
        return None
    with mock([library for library in BORROWED if importlib.util.find_spec(library) is None]):
        module = importlib.import_module(name)
    return module if public_names(module) else None


def public_names(module: ModuleType) -> list[str]:
    """Return the names that users of `module` are meant to see, modules aside."""
    chosen = getattr(module, "__all__", None) or FEWER.get(module.__name__)
    names = chosen or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (getattr(value, "__module__", None) == module.__name__ or isinstance(value, Preset))
    ]
    return [
        name
        for name in names
        if not name.startswith("__") and not inspect.ismodule(getattr(module, name))
    ]


def is_constant(module: ModuleType, name: str) -> bool:
    value = getattr(module, name)
    return not (inspect.isclass(value) or inspect.isroutine(value))


def title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n\n"


def list_table(header: list[str], rows: list[list[str]], widths: str = "auto") -> str:
    """Return a table whose cells may hold several paragraphs."""
    text = f".. list-table::\n   :header-rows: 1\n   :widths: {widths}\n\n"
    for row in [header, *rows]:
        for i, cell in enumerate(row):
            lead = "   * - " if i == 0 else "     - "
            text += lead + cell.strip().replace("\n", "\n       ") + "\n"
    return text + "\n"


def first_line(value: object) -> str:
    paragraph = (inspect.getdoc(value) or "").split("\n\n")[0]
    return escape(" ".join(paragraph.split()))


MARKUP = r"(``[^`]*``|:[a-z:]+:`[^`]*`|`[^`]*`_|(?<![\w*])\*[^\s*](?:[^*]*[^\s*])?\*(?![\w*]))"
"""Literals, roles, links, and words *emphasised*."""


def escape(text: str) -> str:
    """Return prose in which bars, single stars and trailing underscores are only themselves.

    Citations lose theirs too: they serve a module, and docutils has them for one page only.
    """
    text = re.sub(r"(\[[A-Z]+\])_", r"\1", text)
    parts = re.split(MARKUP, text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"(?<!\\)([|*])", r"\\\1", parts[i])
        parts[i] = re.sub(r"(?<=\w)_(?=\W|$)|(?<=[|)])_(?=\w)", r"\\_", parts[i])
    return "".join(parts)


def module_page(module: ModuleType, names: list[str]) -> str:
    full = module.__name__
    text = title(PAGES[full])
    text += f".. automodule:: {full}\n   :no-members:\n\n"
    text += f"``{full}``\n\n"
    if full == "qnsolve":
        groups: dict[str, list[str]] = {heading: [] for heading in ORIGINS.values()}
        for name in names:
            groups.setdefault(heading_of(getattr(module, name)), []).append(name)
        for heading, members in groups.items():
            text += title(heading, "-") + members_table(module, members)
    else:
        text += members_table(module, names)
    if full == "qnsolve.problems":
        text += ".. automodule:: qnsolve.problems.functions\n   :no-members:\n\n"
    pages = [name for name in names if not is_constant(module, name)]
    text += ".. toctree::\n   :hidden:\n\n"
    return text + "".join(f"   {name} <{full}.{name}>\n" for name in pages)


def heading_of(value: object) -> str:
    origin = getattr(value, "__module__", "")
    return next((words for start, words in ORIGINS.items() if origin.startswith(start)), "More")


def members_table(module: ModuleType, names: list[str]) -> str:
    rows, data = [], ""
    for name in names:
        value, full = getattr(module, name), f"{module.__name__}.{name}"
        if is_constant(module, name):
            shown = repr(value) if len(repr(value)) < 80 else f"a {type(value).__name__}"
            rows.append([f":data:`{name} <{full}>`", escape(shown)])
            data += f".. py:data:: {full}\n   :no-index-entry:\n\n"
        else:
            role = "class" if inspect.isclass(value) else "func"
            rows.append([f":{role}:`{name} <{full}>`", first_line(value)])
    constants = f".. container:: constants\n\n{indent(data)}" if data else ""
    return list_table(["name", "what it is"], rows, "30 70") + constants


def indent(text: str, by: str = "   ") -> str:
    return "".join(by + line if line.strip() else line for line in text.splitlines(True))


def object_page(full: str, value: object) -> str:
    name = full.rsplit(".", 1)[1]
    if not inspect.isclass(value):
        return title(name) + f".. autofunction:: {full}\n"
    text = title(name) + f".. autoclass:: {full}\n   :members:\n"
    if issubclass(value, Enum):
        return text + "   :undoc-members:\n   :member-order: bysource\n"
    foreign = [
        base.__name__ for base in value.__mro__ if not base.__module__.startswith("qnsolve.")
    ]
    return text + f"   :inherited-members: {', '.join(foreign)}\n   :member-order: bysource\n"


def statuses_page() -> str:
    from qnsolve import Status, SubproblemStatus, UpdateStatus

    text = title("Statuses")
    text += "What ``result.status`` of a run means; ``result.message`` is the sentence.\n\n"
    text += ":class:`qnsolve.Status`:\n\n"
    rows = [
        [str(int(s)), f"``{s.name}``", "yes" if s.success else "", escape(s.message)]
        for s in Status
    ]
    text += list_table(["status", "name", "success", "message"], rows, "8 24 10 58")
    for kind, words in (
        (SubproblemStatus, "How a subproblem solver ended"),
        (UpdateStatus, "What a matrix did with a pair"),
    ):
        text += f"{words}, :class:`qnsolve.{kind.__name__}`:\n\n"
        rows = [[f"``{status.name}``", escape(status.value)] for status in kind]
        text += list_table(["name", "message"], rows, "30 70")
    return text


def options_page() -> str:
    from qnsolve.methods import TABLE

    text = title("Options of the methods")
    text += (
        "All options, the methods that take them, and their defaults. ``options={...}`` of "
        ":func:`qnsolve.minimize` takes these names; an unknown one is an error. Defaults that "
        "are ``None`` here are explained in the text.\n\n"
    )
    meanings: dict[str, str] = {}
    defaults: dict[str, dict[str, str]] = {}
    for method, solver in TABLE.items():
        for kind in reversed(solver.options.__mro__):
            for parameter in NumpyDocString(inspect.getdoc(kind) or "")["Parameters"]:
                words = " ".join(line.strip() for line in parameter.desc)
                meanings[f"{kind.__name__}.{parameter.name}"] = (
                    f"*{escape(parameter.type)}*\n\n{escape(words)}"
                )
        for option in fields(solver.options):
            value = option.default if option.default is not MISSING else option.default_factory()
            key = next(
                f"{kind.__name__}.{option.name}"
                for kind in solver.options.__mro__
                if f"{kind.__name__}.{option.name}" in meanings
            )
            defaults.setdefault(key, {})[method] = repr(value)
    rows = []
    for key, by_method in defaults.items():
        values = set(by_method.values())
        everywhere = len(by_method) == len(TABLE)
        if len(values) == 1:
            taken = "all" if everywhere else ", ".join(by_method)
            cell = f"``{values.pop()}``\n\n{taken}"
        else:
            cell = "\n\n".join(f"``{value}`` {method}" for method, value in by_method.items())
        rows.append([f"``{key.split('.')[1]}``", meanings[key], cell])
    return text + list_table(["option", "meaning", "default, method"], rows, "18 57 25")


def costs_page(modules: list[ModuleType]) -> str:
    """Return the sentences of the docstrings that state a cost, and whose they are."""
    text = title("What it costs")
    text += (
        "n variables, m pairs in memory, k pairs stored, r eigenvalues kept: see "
        ":doc:`/notation`. Each line is the sentence of the docstring that states the cost; "
        "what several classes share is listed once. Measured times are in :doc:`/measurements`.\n\n"
    )
    rows, seen = [], set()
    for module in modules:
        for name in public_names(module):
            value, full = getattr(module, name), f"{module.__name__}.{name}"
            if is_constant(module, name):
                continue
            members = (
                [(f"{name}.{m}", o) for m, o in inspect.getmembers(value) if not m.startswith("_")]
                if inspect.isclass(value)
                else []
            )
            for label, thing in [(name, value), *members]:
                own = inspect.unwrap(thing) if callable(thing) else thing
                if id(own) in seen or not (inspect.isroutine(own) or inspect.isclass(own)):
                    continue
                seen.add(id(own))
                sentences = cost_sentences(own)
                if sentences:
                    role = "class" if inspect.isclass(own) else "func" if own is value else "meth"
                    target = full if own is value else f"{full}.{label.split('.')[1]}"
                    rows.append([f":{role}:`{label} <{target}>`", escape(" ".join(sentences))])
    return text + list_table(["what", "cost"], rows, "35 65")


COST = re.compile(r"\bO\(|\bflops\b|\b[Cc]osts?\b.*\b(n|evaluations?|product|pass)\b")
"""What a sentence about cost holds."""


def cost_sentences(value: object) -> list[str]:
    """Return the sentences of a docstring that state a cost; examples do not count."""
    prose = (inspect.getdoc(value) or "").split("\nExamples\n")[0]
    if inspect.isclass(value):
        # The names of parameters and attributes are not sentences.
        sections = NumpyDocString(prose)
        prose = "\n\n".join(
            "\n".join(sections[part]) for part in ("Summary", "Extended Summary", "Notes")
        )
    prose = re.sub(r"\n[A-Z][a-z ]+\n-{3,}\n", "\n\n", prose)
    sentences = []
    for paragraph in prose.split("\n\n"):
        words = re.sub(r"^\d+\. ", "", " ".join(paragraph.split()))
        # Names of neighbours mean nothing away from the docstring's module.
        words = re.sub(r":(?:meth|func|class):`~?([^`]*)`", r"``\1``", words)
        sentences += re.split(r"(?<=\.)\s+(?=[A-Z`0-9])", words)
    return [sentence for sentence in sentences if COST.search(sentence)]
