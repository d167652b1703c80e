"""Against `braintools.surrogate.GaussianGrad` 0.3.0 itself: the same values, and what it gets wrong.

Apart from the other tests, and with warnings allowed, since braintools is installed in the main environment only.
"""

import braintools.surrogate
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spikegrad import GaussianGrad, gaussian_grad

pytestmark = pytest.mark.filterwarnings("default")
X = np.linspace(-10, 10, 2001)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0, 2.0])
def test_forward_gradient_and_names(x64, sigma, alpha):
    ours, theirs = GaussianGrad(sigma=sigma, alpha=alpha), braintools.surrogate.GaussianGrad(sigma=sigma, alpha=alpha)
    np.testing.assert_array_equal(ours(X), theirs(X))
    gradients = [jax.vmap(jax.grad(f))(X) for f in (ours, theirs)]
    np.testing.assert_allclose(*gradients, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(ours.surrogate_grad(X), theirs.surrogate_grad(X), rtol=1e-12, atol=1e-300)
    functions = gaussian_grad, braintools.surrogate.gaussian_grad
    functional = [jax.grad(lambda x, f=f: f(x, sigma, alpha).sum())(X) for f in functions]
    np.testing.assert_allclose(*functional, rtol=1e-12, atol=1e-300)
    assert repr(ours) == repr(theirs)


def test_its_second_derivative_is_0_and_ours_is_not(x64):
    second = [jax.grad(jax.grad(f))(0.3) for f in (GaussianGrad(), braintools.surrogate.GaussianGrad())]
    assert second[1] == 0
    np.testing.assert_allclose(second[0], -0.3 / 0.25 * float(GaussianGrad().surrogate_grad(0.3)), rtol=1e-14)


def test_equal_objects_retrace_there_and_not_here():
    def traces(make):
        count = 0

        def apply(f, x):
            nonlocal count
            count += 1
            return f(x)

        jitted = jax.jit(apply, static_argnums=0)
        for _ in range(4):
            jitted(make(), jnp.zeros(3))
        return count

    assert traces(GaussianGrad) == 1
    assert traces(braintools.surrogate.GaussianGrad) == 4
