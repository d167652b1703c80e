"""Handlers that are called directly with wrong operands raise a clear InvalidArgument and never crash."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import spikegrad  # noqa: F401  (registers the targets)

X = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
ALPHA, MEAN, SIGMA, ORDER = np.float32(0.5), np.float32(0), np.float32(0.5), np.int64(0)


def call(target, out, *operands, **attributes):
    """One compiled call. Attributes keep their exact type."""
    f = jax.ffi.ffi_call(target, out)
    return jax.jit(lambda *operands: f(*operands, **attributes))(*operands).block_until_ready()


def like(x, shape=None, dtype=None):
    return jax.ShapeDtypeStruct(x.shape if shape is None else shape, dtype or x.dtype)


def derivative(
    family="gaussian_mixture", x=X, t=X, parameters=(ALPHA, MEAN, SIGMA), out=None, order=ORDER, **attributes
):
    return call(f"spikegrad.{family}.v1", out or like(x), x, t, *parameters, order=order, **attributes)


def test_the_right_calls_pass():
    np.testing.assert_array_equal(call("spikegrad.heaviside.v1", like(X), X), X >= 0)
    expected = X * 0.3989422804 * np.exp(-2 * X.astype(np.float64) ** 2)
    np.testing.assert_allclose(derivative(), expected, rtol=3e-7)
    np.testing.assert_allclose(derivative(t=np.float32(2)) * X, 2 * expected, rtol=3e-7)


@pytest.mark.parametrize(
    "out, message",
    [
        (like(X, (3, 2)), r"the result must have the shape and dtype of x, F32\[2,3\], and is F32\[3,2\]"),
        (like(X, (6,)), r"and is F32\[6\]"),
        (like(X, (2, 3, 1)), r"and is F32\[2,3,1\]"),
        (like(X, dtype=np.int32), r"and is S32\[2,3\]"),
        (like(X, dtype=jnp.bfloat16), r"and is BF16\[2,3\]"),
    ],
)
def test_wrong_results(out, message):
    for f in (lambda: call("spikegrad.heaviside.v1", out, X), lambda: derivative(out=out)):
        with pytest.raises(Exception, match=message) as error:
            f()
        assert "INVALID_ARGUMENT" in str(error.value)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.bool_, np.complex64, jnp.float8_e4m3fn])
def test_wrong_dtypes_of_x(dtype):
    x = np.ones((2, 3)).astype(dtype)
    for f in (lambda: call("spikegrad.heaviside.v1", like(x), x), lambda: derivative(x=x, t=x)):
        with pytest.raises(Exception, match="x must have one of the dtypes f16 bf16 f32 f64, and is") as error:
            f()
        assert "INVALID_ARGUMENT" in str(error.value)


@pytest.mark.parametrize(
    "operands, message",
    [
        ({"t": X[:1]}, r"t must have the dtype of x, and its shape or rank 0; x is F32\[2,3\], t is F32\[1,3\]"),
        ({"t": X.ravel()}, r"t is F32\[6\]"),
        ({"t": X[:0]}, r"t is F32\[0,3\]"),
        ({"t": X.astype(np.float16)}, r"t is F16\[2,3\]"),
        ({"t": np.int32(1)}, r"t is S32\[\]"),
        (
            {"parameters": (ALPHA, MEAN, X)},
            r"parameter 2 must be a scalar, F32\[\] for x of F32\[2,3\], and is F32\[2,3\]",
        ),
        ({"parameters": (ALPHA, MEAN, np.ones(1, np.float32))}, r"parameter 2 must be a scalar, .* and is F32\[1\]"),
        ({"parameters": (ALPHA, np.float16(0), SIGMA)}, r"parameter 1 must be a scalar, .* and is F16\[\]"),
        ({"parameters": (np.int32(1), MEAN, SIGMA)}, r"parameter 0 must be a scalar, .* and is S32\[\]"),
        ({"parameters": ()}, "there must be 3 parameters for each of 1 to 3 terms, and there are 0"),
        ({"parameters": (ALPHA, MEAN)}, "and there are 2"),
        ({"parameters": (ALPHA, MEAN, SIGMA) * 4}, "and there are 12"),
        ({"family": "sigmoid"}, "there must be 1 parameters for each of 1 to 1 terms, and there are 3"),
        ({"order": np.int64(-1)}, "order must be from 0 to 64, and is -1"),
        ({"order": np.int64(65)}, "order must be from 0 to 64, and is 65"),
        ({"order": np.int32(0)}, "expected S64 but got S32"),
        ({"order": np.float64(0)}, "expected S64 but got F64"),
        ({"surplus": np.int64(0)}, "attributes"),
    ],
    ids=str,
)
def test_wrong_operands_and_attributes(operands, message):
    with pytest.raises(Exception, match=message) as error:
        derivative(**operands)
    assert "INVALID_ARGUMENT" in str(error.value)


def test_wrong_numbers_of_operands():
    for operands in ((), (X, X)):
        with pytest.raises(Exception, match=r"arguments|INVALID_ARGUMENT"):
            call("spikegrad.heaviside.v1", like(X), *operands)


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2), ()])
def test_sizes_of_zero_and_rank_0(case, shape):
    x = np.zeros(shape, np.float32)
    np.testing.assert_array_equal(call("spikegrad.heaviside.v1", like(x), x), np.ones(shape))
    out = derivative(case.family, x, np.ones(shape, np.float32), parameters=case.operands(x))
    np.testing.assert_allclose(out, np.full(shape, case.derivative(0, 0.0)), rtol=1e-6)


def test_float64_takes_its_parameters_in_float64(x64, case):
    x = X.astype(np.float64)
    in_float32 = case.operands(X)
    with pytest.raises(Exception, match=r"parameter 0 must be a scalar, F64\[\] for x of F64\[2,3\], and is F32\[\]"):
        derivative(case.family, x, x, in_float32)
    derivative(case.family, x, x, case.operands(x))
