"""Measure the table of evaluation counts that tests/solvers/test_counts.py holds the methods to.

    python benchmarks/counts.py

Run it where a change of the counts is meant, and say in the commit what changed them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.solvers import counts

if __name__ == "__main__":
    counts.write()
    print(counts.TABLE.read_text(), end="")
