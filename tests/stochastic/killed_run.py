"""A training run that kills itself without notice after a given step.

Usage: python killed_run.py CHECKPOINT METHOD STEP
"""

from __future__ import annotations

import os
import signal
import sys

from qnsolve.stochastic import MiniBatches, train
from tests.stochastic.problems import net_loss, samples, start


def main() -> None:
    path, method, last = sys.argv[1], sys.argv[2], int(sys.argv[3])

    def kill(progress):
        if progress.step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    train(
        net_loss,
        start(),
        MiniBatches(*samples(), batch_size=20, seed=1),
        method=method,
        epochs=5,
        checkpoint=path,
        checkpoint_every=4,
        step_callback=kill,
    )


if __name__ == "__main__":
    main()
