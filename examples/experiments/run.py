"""The experiments of the papers, one command each.

    python run.py batch-size --quick

Writes curves.csv, grid.csv, table.csv, table.md and figure.png to a folder in results/.  Every run
is written as it ends; the same command goes on after the last one.  Needs the extra `experiments`,
and Fashion-MNIST from Debian's package dataset-fashion-mnist or from --folder.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import contenders
import report
import torch
from contenders import Contender
from measure import MEASUREMENTS, Row, append_csv, one_run, read_runs, tuned_value
from problems import PROBLEMS, Problem, Source

DATA = {
    "fashion-mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "mnist-5000": "MNIST-5000",
    "cifar10": "CIFAR-10",
}


@dataclass(frozen=True)
class Size:
    """How many samples, how many passes at each batch size, how many repeats.

    With `by_epochs` the budgets are passes of new samples, as in the papers, and a method that
    looks at a batch twice makes two passes in each.
    """

    train: int | None
    passes: dict[int, float]
    seeds: int
    test: int | None = None
    by_epochs: bool = False

    def budget(self, batch: int) -> dict[str, float]:
        """Return the arguments of a Meter."""
        passes = self.passes[batch]
        if not self.by_epochs:
            return {"passes": passes, "interval": passes / MEASUREMENTS}
        return {"passes": math.inf, "interval": passes / MEASUREMENTS, "epochs": passes}


@dataclass(frozen=True)
class Experiment:
    """An experiment of a paper.

    `targets` are scores by problem, one column of the table each; the tuned numbers are tuned for
    the one in the middle.  `paper_data` is what the paper used, where data can be chosen.
    """

    title: str
    contenders: Callable[[], list[Contender]]
    targets: dict[str, tuple[float, ...]]
    quick: Size
    full: Size
    paper_data: str | None = None
    units: tuple[str, ...] = ("epoch", "passes")
    ends: bool = False


def everybody() -> list[Contender]:
    return contenders.second_order() + contenders.baselines()


def chosen(*words: str) -> Callable[[], list[Contender]]:
    """Return a maker of the contenders with one of these names, or whose names begin with one."""
    return lambda: [c for c in everybody() if any(named(c.name, word) for word in words)]


def named(name: str, word: str) -> bool:
    return name == word or (word.endswith("*") and name.startswith(word[:-1]))


MLP = (20.0, 17.0, 15.0, 14.0, 13.0, 12.5, 12.0)
LENET = (15.0, 12.0, 11.0, 10.0, 9.5, 9.0)

EXPERIMENTS = {
    "lenet": Experiment(
        "LeNet-5 with and without batch norm (L-SR1, figure 1)",
        lambda: contenders.as_printed(batch=20, lr=0.003),
        {"lenet": LENET, "lenet-bn": LENET},
        Size(400, {200: 1}, 1, test=500),
        Size(None, {400: 20}, 3, by_epochs=True),
        paper_data="mnist",
    ),
    "lenet-cifar": Experiment(
        "A LeNet for CIFAR with and without batch norm (L-SR1, figure 2)",
        lambda: contenders.as_printed(batch=96, lr=0.01),
        {"lenet-cifar": LENET, "lenet-cifar-bn": LENET},
        Size(400, {200: 1}, 1, test=500),
        Size(None, {400: 20}, 3, by_epochs=True),
        paper_data="cifar10",
    ),
    "table-1": Experiment(
        "LeNet-5 with batch norm by batch size (L-SR1, Table 1 and figure 3)",
        chosen("hybrid-tr", "L-SR1 TR", "sL-SR1-TR", "Adam", "NAG"),
        {"lenet-bn": LENET},
        Size(400, {200: 1}, 1, test=500),
        Size(None, {500: 50, 1000: 50, 10000: 200}, 3, by_epochs=True),
        paper_data="mnist",
    ),
    "batch-size": Experiment(
        "Batch sizes: the form of Table 1 of L-SR1, on a dense net",
        everybody,
        {"mlp": (20.0, 18.0, 17.0, 16.0, 15.0)},
        Size(2000, {200: 6, 1000: 6}, 1, test=1000),
        Size(20000, {500: 6, 1000: 8, 10000: 24}, 3, test=5000),
        paper_data="mnist",
    ),
    "resnet": Experiment(
        "ResNet-20 (L-SR1, figure 5)",
        chosen("hybrid-tr", "L-SR1 TR", "sL-SR1-TR", "Adam*", "NAG", "SGD, momentum"),
        {"resnet": (60.0, 40.0, 30.0, 25.0, 20.0)},
        Size(64, {32: 2}, 1, test=50),
        Size(1000, {500: 20}, 3, test=1000),
        paper_data="cifar10",
    ),
    "sweep": Experiment(
        "Hyper-parameters: the form of figure 6 of L-SR1, on a dense net",
        contenders.variations,
        {"mlp": MLP[:5]},
        Size(1000, {500: 4}, 1, test=1000),
        Size(10000, {500: 20, 2000: 20, 8000: 20}, 3, test=5000),
        paper_data="cifar10",
        ends=True,
    ),
    "compare": Experiment(
        "All methods at a large batch",
        everybody,
        {"mlp": MLP},
        Size(2000, {1000: 8}, 1, test=1000),
        Size(None, {10000: 36}, 3),
    ),
    "autoencoder": Experiment(
        "Autoencoder (ARCs-LSR1, adaptive norms)",
        everybody,
        {"autoencoder": (50.0, 40.0, 30.0, 25.0, 22.0)},
        Size(1000, {500: 6}, 1, test=1000),
        Size(20000, {10000: 36}, 3, test=5000),
    ),
    "feed-forward": Experiment(
        "Dense net (ARCs-LSR1)",
        chosen("ARCs-LSR1", "hybrid-tr", "Adam*", "SGD", "RMSprop", "Adagrad", "L-BFGS*"),
        {"mlp": MLP},
        Size(2000, {512: 8}, 1, test=1000),
        Size(20000, {512: 20, 2048: 20}, 3),
    ),
    "iris": Experiment(
        "Iris, full batch (ARCs-LSR1)",
        chosen(
            "ARCs-LSR1", "hybrid-tr", "L-SR1 TR", "Adam", "SGD", "RMSprop", "Adagrad", "L-BFGS*"
        ),
        {"iris": (50.0, 20.0, 10.0, 5.0)},
        Size(None, {120: 60}, 3),
        Size(None, {120: 100}, 10),
    ),
    "characters": Experiment(
        "Characters of a text (ARCs-LSR1: language modelling)",
        chosen("ARCs-LSR1", "hybrid-tr", "sL-SR1-TR", "Adam*", "SGD", "RMSprop", "L-BFGS*"),
        {"characters": (4.5, 4.0, 3.5, 3.0, 2.8)},
        Size(200, {40: 6}, 1, test=100),
        Size(2000, {500: 30}, 3),
    ),
    "ellipsoids": Experiment(
        "Ellipsoidal against spherical regions (adaptive norms)",
        lambda: [*contenders.regions(), *contenders.hybrid_regions(), *contenders.baselines()[:1]],
        {"mlp-fit": (0.8, 0.6, 0.4, 0.3, 0.2), "autoencoder-fit": (50.0, 40.0, 30.0, 25.0, 22.0)},
        Size(1000, {128: 12}, 1),
        Size(5000, {512: 40}, 3),
        units=("backprops", "passes"),
    ),
}


def measure(
    experiment: Experiment,
    problem: Problem,
    targets: tuple,
    size: Size,
    wanted: Iterable[int],
    out: Path,
) -> None:
    """Run every contender at every batch size on every seed, but for what is in `out` already."""
    target = targets[len(targets) // 2]
    for batch in size.passes:
        for contender in experiment.contenders():
            key = (problem.name, batch, contender.name)
            done = [run for run in read_runs(out / "curves.csv") if of(run[0]) == key]
            seeds = set(wanted) - {run[0].seed for run in done}
            if not seeds:
                continue
            if done and contender.grid:
                value = float(done[0][0].setting.split()[-1])
            else:
                value, tried = tuned_value(contender, problem, batch, size.passes[batch], target)
                for rows in tried:
                    append_csv(out / "grid.csv", rows)
            for seed in sorted(seeds):
                rows = one_run(contender, problem, value, batch, seed, size.budget(batch))
                append_csv(out / "curves.csv", rows)
                last = rows[-1]
                print(
                    f"{problem.name} | batch {batch} | {report.label(rows)} | seed {seed} | "
                    f"{last.epoch:.4g} epochs, {last.passes:.4g} passes, {last.seconds:.3g} s | "
                    f"loss {last.train_loss:.4g}, {problem.score_name} {last.score:.4g}",
                    flush=True,
                )


def of(row: Row) -> tuple[str, int, str]:
    return row.problem, row.batch_size, row.contender


def write(experiment: Experiment, title: str, problems: dict[str, Problem], out: Path) -> None:
    """Write the tables and the figure of the runs in `out`."""
    targets = {problem.name: experiment.targets[name] for name, problem in problems.items()}
    score_names = {problem.name: problem.score_name for problem in problems.values()}
    runs = [run for run in read_runs(out / "curves.csv") if run[0].problem in targets]
    order = {contender.name: k for k, contender in enumerate(experiment.contenders())}
    runs.sort(key=lambda run: (order.get(run[0].contender, len(order)), run[0].seed))
    (out / "table.csv").unlink(missing_ok=True)
    append_csv(out / "table.csv", report.entries(runs, targets))
    text = f"{title}\n\n{report.markdown(runs, targets)}"
    if len({run[0].batch_size for run in runs}) > 1:
        easiest = {name: scores[0] for name, scores in targets.items()}
        tuned_for = {name: scores[len(scores) // 2] for name, scores in targets.items()}
        text += f"\n{report.by_batch(runs, easiest)}\n{report.by_batch(runs, tuned_for)}"
    (out / "table.md").write_text(text)
    if experiment.ends:
        report.draw_ends(out / "figure.png", title, runs, score_names)
    else:
        report.draw_curves(out / "figure.png", title, runs, score_names, experiment.units)
    print(text)


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("--quick", action="store_true", help="a small size, two minutes at most")
    parser.add_argument("--data", default="fashion-mnist", choices=DATA)
    parser.add_argument("--folder", help="where the files of the data set are")
    parser.add_argument("--problem", nargs="+", help="of the experiment's problems, these")
    parser.add_argument("--samples", type=int, help="training samples, in place of the size's")
    parser.add_argument("--batch", type=int, nargs="+", help="batch sizes, in place of the size's")
    parser.add_argument("--passes", type=float, help="budget, in place of the size's")
    parser.add_argument("--seeds", type=int, help="repeats, in place of the size's")
    parser.add_argument("--seed", type=int, nargs="+", help="these of the repeats")
    parser.add_argument("--device", default="cpu", help="where the networks are: cpu, cuda")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="contenders; NAME* for beginnings"
    )
    parser.add_argument("--out", type=Path, help="folder for the results")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    experiment = EXPERIMENTS[given.experiment]
    size = experiment.quick if given.quick else experiment.full
    passes = {
        batch: size.passes.get(batch, max(size.passes.values()))
        for batch in given.batch or size.passes
    }
    if given.passes:
        passes = dict.fromkeys(passes, given.passes)
    size = replace(size, train=given.samples or size.train, passes=passes)
    wanted = given.seed or range(1, (given.seeds or size.seeds) + 1)
    whole = experiment
    if given.only:
        experiment = replace(
            experiment,
            contenders=lambda: [
                c for c in whole.contenders() if any(named(c.name, w) for w in given.only)
            ],
        )
    source = Source(given.data, given.folder, size.train, size.test)
    problems = {
        name: PROBLEMS[name](source).to(given.device)
        for name in experiment.targets
        if not given.problem or name in given.problem
    }
    title = experiment.title
    if experiment.paper_data not in (None, given.data):
        title += f"\n{DATA[given.data]} in place of {DATA[experiment.paper_data]}"
    folder = given.experiment + ("-quick" if given.quick else "")
    out = given.out or Path(__file__).parent / "results" / folder
    for name, problem in problems.items():
        measure(experiment, problem, experiment.targets[name], size, wanted, out)
    write(whole, title, problems, out)


if __name__ == "__main__":
    main()
