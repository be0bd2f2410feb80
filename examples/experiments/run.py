"""The experiments of the papers, one command each.

    python run.py batch-size --quick

Writes curves.csv, table.csv, table.md and figure.png to a folder of its own.  Needs the extra
`experiments`, and Fashion-MNIST from Debian's package dataset-fashion-mnist or from --folder.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nets
import torch
from contest import (
    Contender,
    Problem,
    Reached,
    Row,
    Training,
    baselines,
    best_setting,
    one_run,
    reached,
    write_csv,
)
from data import Images, load

from qnsolve.presets import Preset
from qnsolve.stochastic import presets

DATA = ("fashion-mnist", "mnist", "mnist-5000")

PIXELS = {"mean": 0.286, "scale": 0.353}
"""Of the training images of Fashion-MNIST."""


def classification(name: str, build: Callable, images: Images, **rest: Any) -> Problem:
    """Return a problem on standardised images and their classes."""

    def standardised(part: Any) -> torch.Tensor:
        return (torch.as_tensor(part) - PIXELS["mean"]) / PIXELS["scale"]

    return Problem(
        f"{name}, {images.name}",
        build,
        nets.cross_entropy,
        (standardised(images.train), torch.as_tensor(images.train_labels)),
        (standardised(images.test), torch.as_tensor(images.test_labels)),
        **rest,
    )


def reconstruction(images: Images) -> Problem:
    """Return the autoencoder's problem, pixels in [0, 1]."""
    train, test = torch.as_tensor(images.train), torch.as_tensor(images.test)
    return Problem(
        f"autoencoder, {images.name}",
        nets.autoencoder,
        nets.squared_error,
        (train, train),
        (test, test),
        score_name="test loss",
    )


PROBLEMS: dict[str, Callable[[Images], Problem]] = {
    "mlp": lambda images: classification("MLP 784-128-10", nets.mlp, images),
    "autoencoder": reconstruction,
    "lenet": lambda images: classification("LeNet-5", nets.lenet, images),
    "lenet-bn": lambda images: classification(
        "LeNet-5, batch norm", lambda: nets.lenet(batch_norm=True), images, chunk=500
    ),
}


def preset(name: str, options: Preset) -> Training:
    """Return a published method with the constants of its paper."""
    return Training(name, options.method, dict(options))


def second_order() -> list[Contender]:
    """Return the methods of qnsolve."""
    return [
        Training("hybrid-tr", "hybrid-tr"),
        Training("lsr1-tr, ellipsoid", "lsr1-tr"),
        preset("L-SR1 TR", presets.RAMAMURTHY_DUFFY),
        preset("sL-SR1-TR, half overlap", presets.YOUSEFI_MARTINEZ),
        preset("ARCs-LSR1", presets.ARCS_LSR1),
        Training("Newton-CG, ellipsoid", "newton-tr", {"overlap": False}),
    ]


def norms_of_regions() -> list[Contender]:
    """Return Newton-CG and the hybrid in a sphere and in ellipsoids."""
    newton = [
        Training(f"Newton-CG, {norm}", "newton-tr", {"norm": norm, "overlap": False})
        for norm in ("l2", "adagrad", "rmsprop", "adam")
    ]
    return newton + [
        Training(f"hybrid-tr, {norm}", "hybrid-tr", {"norm": norm}) for norm in ("l2", "adam")
    ]


@dataclass(frozen=True)
class Size:
    """How much of the data, which batches, for how many passes, how often."""

    train: int | None
    batches: tuple[int, ...]
    passes: float
    seeds: int


@dataclass(frozen=True)
class Experiment:
    """An experiment of a paper; `targets` are scores, one table column each."""

    title: str
    problems: tuple[str, ...]
    contenders: Callable[[], list[Contender]]
    targets: dict[str, tuple[float, ...]]
    quick: Size
    full: Size


EXPERIMENTS = {
    "batch-size": Experiment(
        "Epochs to a test error, by batch size (the form of L-SR1, Table 1)",
        ("mlp",),
        lambda: second_order()[:1] + second_order()[3:4] + baselines()[:4],
        {"mlp": (20.0, 17.0, 15.0, 14.0, 13.0, 12.5, 12.0)},
        Size(3000, (500, 1500), 12, 1),
        Size(None, (500, 1000, 10000), 48, 3),
    ),
    "compare": Experiment(
        "All methods at one batch size",
        ("mlp",),
        lambda: second_order() + baselines(),
        {"mlp": (20.0, 17.0, 15.0, 14.0, 13.0, 12.5, 12.0)},
        Size(3000, (1500,), 15, 1),
        Size(None, (10000,), 36, 3),
    ),
    "autoencoder": Experiment(
        "Autoencoder (ARCs-LSR1, adaptive norms)",
        ("autoencoder",),
        lambda: second_order() + baselines(),
        {"autoencoder": (40.0, 30.0, 25.0, 22.0)},
        Size(2000, (1000,), 12, 1),
        Size(20000, (10000,), 45, 3),
    ),
    "lenet": Experiment(
        "LeNet-5 with and without batch norm (L-SR1, figures 1 and 2)",
        ("lenet", "lenet-bn"),
        lambda: second_order() + baselines(),
        {"lenet": (30.0, 25.0, 20.0, 18.0), "lenet-bn": (25.0, 20.0, 17.0, 15.0)},
        Size(500, (250,), 6, 1),
        Size(10000, (5000,), 18, 3),
    ),
    "ellipsoids": Experiment(
        "Ellipsoidal against spherical regions (adaptive norms)",
        ("mlp", "autoencoder"),
        norms_of_regions,
        {"mlp": (20.0, 16.0, 15.0, 14.0), "autoencoder": (50.0, 40.0, 30.0, 25.0)},
        Size(2000, (1000,), 20, 1),
        Size(20000, (10000,), 60, 3),
    ),
}


def measure(
    experiment: Experiment, problems: list[Problem], size: Size, targets: dict[str, tuple]
) -> list[list[Row]]:
    """Return the runs: the rows of one contender at one batch size and seed each."""
    runs = []
    for problem in problems:
        tuned_for = targets[problem.name][len(targets[problem.name]) // 2]
        budget = {"passes": size.passes}
        for batch in size.batches:
            for contender in experiment.contenders():
                setting = best_setting(contender, problem, batch, budget, tuned_for)
                for seed in range(1, size.seeds + 1):
                    runs.append(one_run(contender, problem, setting, batch, seed, budget))
                    last = runs[-1][-1]
                    print(
                        f"{problem.name} | batch {batch} | {contender.name} ({setting}) | seed "
                        f"{seed} | epochs {last.epoch:g}, passes {last.passes:.3g}, "
                        f"{last.seconds:.3g} s | loss {last.train_loss:.4g}, "
                        f"{problem.score_name} {last.score:.4g}",
                        flush=True,
                    )
    return runs


def grouped(runs: list[list[Row]]) -> dict[tuple, list[list[Row]]]:
    """Return the runs by problem, batch size, contender and setting; one run a seed."""
    groups: dict[tuple, list[list[Row]]] = {}
    for rows in runs:
        row = rows[0]
        key = (row.problem, row.batch_size, row.contender, row.setting)
        groups.setdefault(key, []).append(rows)
    return groups


def table_of(runs: list[list[Row]], targets: dict[str, tuple[float, ...]]) -> list[Reached]:
    """Return what every contender needed to come to every target, given by problem."""
    groups = grouped(runs)
    return [reached(group, t) for (problem, *_), group in groups.items() for t in targets[problem]]


def markdown(runs: list[list[Row]], entries: list[Reached]) -> str:
    """Return the table: epochs / passes to each target, and where the run ended."""
    lines = []
    for problem, batch in dict.fromkeys((e.problem, e.batch_size) for e in entries):
        chosen = [e for e in entries if (e.problem, e.batch_size) == (problem, batch)]
        targets = list(dict.fromkeys(e.target for e in chosen))
        lines += [f"{problem}, batch {batch:,}: epochs / passes to a score", ""]
        head = [f"{target:g}" for target in targets]
        lines += [f"| | {' | '.join(head)} | end: passes, train loss, score, s a pass |"]
        lines += ["|---" * (len(targets) + 2) + "|"]
        for (of, size, contender, setting), group in grouped(runs).items():
            if (of, size) != (problem, batch):
                continue
            cells = [cell(e) for e in chosen if (e.contender, e.setting) == (contender, setting)]
            last = [rows[-1] for rows in group]
            middle = [
                statistics.median(getattr(row, name) for row in last)
                for name in ("passes", "train_loss", "score")
            ]
            pace = statistics.median(row.seconds / row.passes for row in last)
            end = ", ".join(f"{value:.4g}" for value in (*middle, pace))
            label = contender if setting == "default" else f"{contender}, {setting}"
            lines += [f"| {label} | {' | '.join(cells)} | {end} |"]
        lines += [""]
    return "\n".join(lines)


def cell(entry: Reached) -> str:
    """Return epochs / passes, with the number of seeds where not all came there."""
    if not entry.reached:
        return "-"
    some = "" if entry.reached == entry.seeds else f" ({entry.reached} of {entry.seeds})"
    return f"{entry.epochs:.3g} / {entry.passes:.3g}{some}"


def draw(path: Path, title: str, runs: list[list[Row]], score: str) -> None:
    """Draw the score against epochs and passes: median and range over the seeds."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((rows[0].problem, rows[0].batch_size) for rows in runs))
    figure = Figure(figsize=(11.0, 4.0 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 2, squeeze=False)
    figure.suptitle(title)
    for (problem, batch), pair in zip(panels, axes, strict=True):
        for (of, size, contender, setting), group in grouped(runs).items():
            if (of, size) != (problem, batch):
                continue
            count = min(len(rows) for rows in group)
            scores = [[rows[i].score for rows in group] for i in range(count)]
            middle = [statistics.median(values) for values in scores]
            for axis, unit in zip(pair, ("epoch", "passes"), strict=True):
                at = [getattr(group[0][i], unit) for i in range(count)]
                (line,) = axis.plot(at, middle, label=f"{contender} {setting}".strip())
                low, high = ([pick(v) for v in scores] for pick in (min, max))
                axis.fill_between(at, low, high, color=line.get_color(), alpha=0.15, lw=0)
        scores = [r.score for rows in runs for r in rows if r.problem == problem]
        finite = [score for score in scores if math.isfinite(score)]
        low, high = min(finite), max(finite)
        for axis, unit in zip(pair, ("epochs", "gradients, in passes over the data"), strict=True):
            axis.set(xlabel=unit, ylabel=score)
            axis.set_title(f"{problem}, batch {batch:,}", fontsize=9)
            # The first measurements would leave no room for the differences at the end.
            axis.set_ylim(0.95 * low, min(high, 4.0 * max(low, 0.05 * high)))
            axis.grid(alpha=0.3)
        pair[1].legend(fontsize=7)
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--quick", action="store_true", help="a small size, about two minutes")
    parser.add_argument(
        "--data", default="fashion-mnist", choices=["fashion-mnist", "mnist", "mnist-5000"]
    )
    parser.add_argument("--folder", help="where the files of the data set are")
    parser.add_argument("--samples", type=int, help="training samples, in place of the size's")
    parser.add_argument("--batch", type=int, nargs="+", help="batch sizes, in place of the size's")
    parser.add_argument("--seeds", type=int, help="repeats, in place of the size's")
    parser.add_argument(
        "--only", nargs="+", metavar="WORD", help="contenders with one of these words"
    )
    parser.add_argument("--out", type=Path, help="folder for the results")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    experiment = EXPERIMENTS[given.experiment]
    size = experiment.quick if given.quick else experiment.full
    size = Size(
        given.samples or size.train,
        tuple(given.batch or size.batches),
        size.passes,
        given.seeds or size.seeds,
    )
    if given.only:
        everybody = experiment.contenders
        words = given.only
        experiment = replace(
            experiment,
            contenders=lambda: [c for c in everybody() if any(word in c.name for word in words)],
        )
    images = load(given.data, given.folder).first(size.train)
    out = given.out or Path("results") / (given.experiment + ("-quick" if given.quick else ""))
    problems = {name: PROBLEMS[name](images) for name in experiment.problems}
    targets = {problem.name: experiment.targets[name] for name, problem in problems.items()}
    runs = measure(experiment, list(problems.values()), size, targets)
    entries = table_of(runs, targets)
    write_csv(out / "curves.csv", [row for rows in runs for row in rows])
    write_csv(out / "table.csv", entries)
    text = markdown(runs, entries)
    (out / "table.md").write_text(f"{experiment.title}\n\n{text}")
    draw(out / "figure.png", experiment.title, runs, "test score")
    print(text)


if __name__ == "__main__":
    main()
