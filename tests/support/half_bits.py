"""Arrays as the tests' C++ modules hold them (tests/csrc/held.h): halves as their bits."""

import ml_dtypes
import numpy as np

DTYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}


def held(values):
    return values.view(np.uint16) if values.dtype.itemsize == 2 else values


def plain(values, dtype):
    return values.view(DTYPES[dtype])


def assert_same_bits(actual, wanted, dtype):
    """But for the sign and payload of a NaN."""
    actual, wanted = plain(actual, dtype), plain(wanted, dtype)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(wanted))
    nan = np.isnan(actual)
    bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[actual.dtype.itemsize]
    np.testing.assert_array_equal(np.where(nan, 0, actual.view(bits)), np.where(nan, 0, wanted.view(bits)))
