"""Jobs with bounds: a Gaussian process, count rates, a sharpened image, a fit of two decays.

python examples/bounded.py [side]
"""

import sys
import time

import numpy as np

import qnsolve
from qnsolve.verify import check_bounded_minimum


def local_optimizer(objective, theta, bounds):
    """Be the `optimizer` of scikit-learn's Gaussian processes, whose bounds are logarithms."""
    result = qnsolve.minimize(objective, theta, jac=True, bounds=bounds)
    return result.x, result.fun


def gaussian_process(optimizer=local_optimizer):
    """Return a regression on a noisy sine; the length scale ends inside of its bounds."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    t = np.linspace(0.0, 5.0, 30)[:, np.newaxis]
    y = np.sin(2.0 * t[:, 0]) + 0.1 * np.random.default_rng(0).standard_normal(30)
    kernel = ConstantKernel(1.0, (1e-2, 10.0)) * RBF(1.0, (1e-1, 10.0))
    kernel = kernel + WhiteKernel(1e-2, (1e-4, 1.0))
    return GaussianProcessRegressor(kernel, optimizer=optimizer).fit(t, y)


def count_rates():
    """Return a Poisson regression with the identity link: the rates of sources, none negative."""
    rng = np.random.default_rng(1)
    A = rng.exponential(size=(200, 12))
    rates = np.where(np.arange(12) % 3 == 0, 0.0, rng.exponential(2.0, 12))
    counts = rng.poisson(A @ rates)

    def negative_log_likelihood(c):
        mean = A @ c + 1e-3  # a background that is known
        return float(np.sum(mean - counts * np.log(mean))), A.T @ (1.0 - counts / mean)

    bounds = [(0.0, None)] * 12
    result = qnsolve.minimize(negative_log_likelihood, np.ones(12), jac=True, bounds=bounds)
    return result, negative_log_likelihood, bounds


def sharpened_image(side=128):
    """Return an image of side x side pixels that, blurred, is what was seen; none is negative."""
    rng = np.random.default_rng(2)
    sky = np.zeros((side, side))
    stars = rng.integers(side, size=(2, side // 2))
    sky[stars[0], stars[1]] = rng.exponential(size=side // 2)
    far = np.minimum(np.arange(side), side - np.arange(side))
    spread = np.exp(-0.5 * (far / 1.5) ** 2)
    blur = np.fft.rfft2(np.outer(spread, spread) / np.sum(spread) ** 2)

    def blurred(x):
        return np.fft.irfft2(blur * np.fft.rfft2(x), (side, side))

    seen = blurred(sky) + 1e-3 * rng.standard_normal((side, side))

    def misfit(x):
        r = blurred(x) - seen
        return 0.5 * np.sum(r * r), blurred(r)  # the blur is symmetric

    x0 = np.maximum(seen, 0.0)
    bounds = qnsolve.bounds.Box(0.0, np.inf)
    result = qnsolve.minimize(misfit, x0, jac=True, bounds=bounds, options={"gtol": 1e-5})
    return result, misfit, bounds


def fitted_decay():
    """Return a fit of two decays and a background by differences that stay in the box."""
    t = np.linspace(0.0, 4.0, 80)
    measured = 2.0 * np.exp(-t / 0.3) + np.exp(-t / 1.5)
    measured = measured - 0.02 + 0.02 * np.random.default_rng(3).standard_normal(t.size)

    def misfit(p):
        model = p[0] * np.exp(-t / p[1]) + p[2] * np.exp(-t / p[3]) + p[4]
        return float(np.sum((model - measured) ** 2))

    # Amplitudes, time constants that cannot change places, a background that is not negative.
    bounds = [(0.0, 10.0), (0.05, 1.0), (0.0, 10.0), (1.0, 5.0), (0.0, 0.1)]
    x0 = [1.0, 0.5, 1.0, 2.0, 0.0]
    result = qnsolve.minimize(misfit, x0, jac="3-point", bounds=bounds)
    return result, misfit, bounds


def main(side=128):
    jobs = {
        "count rates": (count_rates, True),
        "sharpened image": (lambda: sharpened_image(side), True),
        "fitted decay": (fitted_decay, "3-point"),
    }
    results = {}
    for name, (job, jac) in jobs.items():
        start = time.perf_counter()
        result, fun, bounds = job()
        seconds = time.perf_counter() - start
        check = check_bounded_minimum(fun, result.x, bounds, jac=jac)
        results[name] = result, check
        print(
            f"{name:15}  n {result.x.size:6d}   on a bound {check.active:6d}   evaluations "
            f"{result.nfev:4d}   {seconds:5.2f} s   stationarity {check.stationarity:.1e}   "
            f"{result.message}"
        )
    return results


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
