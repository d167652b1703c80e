"""Derive the polynomials of exp2.h: 2^r on [-1/2, 1/2], with a small relative error.

Run `python csrc/math/exp2_coefficients.py` (needs mpmath). It prints the coefficients as they stand in exp2.h. It also
prints the largest relative error of the coefficients, rounded to the format that evaluates them.

The first two coefficients are fixed at 1 and at ln 2, rounded. So 2^0 is exact, and no free coefficient takes a value
whose rounding error is half a unit where it matters most (a plain minimax fit loses 3 bits this way). The other
coefficients are a least-squares fit of the relative error at Chebyshev nodes. The fit is within a small factor of
minimax.
"""

import numpy as np
from mpmath import cos, log, lu_solve, matrix, mp, mpf, pi

mp.prec = 200


def relative_error(coefficients, r):
    return sum(c * r**k for k, c in enumerate(coefficients)) / mpf(2) ** r - 1


def fit(degree, rounded):
    coefficients = [mpf(1), rounded(log(2))]
    nodes = [cos(pi * (2 * i + 1) / 128) / 2 for i in range(64)]
    for first in range(2, degree + 1):
        # Round each coefficient before the later ones are fitted, so that they compensate for its rounding.
        basis = matrix(len(nodes), degree + 1 - first)
        target = matrix(len(nodes), 1)
        for i, r in enumerate(nodes):
            for k in range(first, degree + 1):
                basis[i, k - first] = r**k / mpf(2) ** r
            target[i] = -relative_error(coefficients, r)
        coefficients.append(rounded(lu_solve(basis, target)[0]))
    return coefficients


for name, degree, dtype in (("float", 6, np.float32), ("double", 11, np.float64)):
    coefficients = fit(degree, lambda c, dtype=dtype: mpf(float(dtype(mp.nstr(c, 40)))))
    worst = max(abs(relative_error(coefficients, mpf(i) / 4000 - mpf(1) / 2)) for i in range(4001))
    print(f"{name}, degree {degree}: 2^{float(mp.log(worst, 2)):.1f}")
    for k, c in reversed(list(enumerate(coefficients))):
        print(f"  r^{k}: {float(c).hex()}")
