"""Starts a module on several ranks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
SECONDS = 120
"""A launch that takes longer hangs."""


def launch(ranks, *arguments):
    """Return the finished ``mpiexec -n ranks python -m arguments``."""
    # One thread a rank, or a few ranks on a few cores wait for each other's threads.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
