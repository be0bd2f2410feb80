"""Contest of minimisers on physics-informed networks.

    python -m examples.pinn --quick          # one seed, on one core: a minute or two a problem
    python -m examples.pinn --device cuda --seeds 5 --budget 2000 --jobs 5 --seconds 60 --out DIR

Run it in a checkout; it needs torch and matplotlib.  The problems are in `problems.py`, the methods
in the table at the end of `contenders.py`; `--problem` and `--only` choose among them.  Every run
is appended to DIR/curves.csv as it ends, and DIR/<problem>.md and .png are made after each problem.
The same command goes on after the last run that is there; with `--seeds 0` it only draws.
"""

from examples.pinn.contest import main

if __name__ == "__main__":
    main()
