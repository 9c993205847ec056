"""Numbers of a whole set of cases, taken apart into one per case whose mean they are, so that intervals can be drawn.

Each case's number is the set's, plus what the set's would change by if there were more like this case: its first-order
influence (Hampel 1974). A bootstrap of their mean is then one of the set's number, up to terms of second order.
"""

from __future__ import annotations

import numpy as np


def ratio(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """(N,) numbers whose mean is mean(upper) / mean(lower)."""
    whole = upper.mean() / lower.mean()
    found: np.ndarray = whole + (upper - whole * lower) / lower.mean()
    return found


def kid(drawn: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N,) numbers whose mean is the kernel inception distance (arXiv 1801.01401) of features (N, D) to the truth's.

    The kernel is (x.y / D + 1)^3; row k of both belongs to case k, and pairs within a case are left out (the
    unbiased estimate of Gretton et al. 2012, equation 4). Raises ValueError for fewer than two cases.
    """
    count = len(drawn)
    if count < 2:
        raise ValueError(f"{count} cases are no set; measure at least two.")
    kernels = _kernel(drawn, drawn) + _kernel(true, true) - _kernel(drawn, true) - _kernel(true, drawn)
    own = (kernels.sum(1) - np.diag(kernels)) / (count - 1)
    found: np.ndarray = 2 * own - own.mean()
    return found


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found: np.ndarray = (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1) ** 3
    return found
