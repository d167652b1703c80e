"""Conversions for the C++ test modules, which hold 16-bit floats as bit patterns (tests/csrc/held.h)."""

import ml_dtypes
import numpy as np

DTYPES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64}


def held(values):
    return values.view(np.uint16) if values.dtype.itemsize == 2 else values


def plain(values, dtype):
    return values.view(DTYPES[dtype])


def assert_same_bits(actual, wanted, dtype):
    """Compare bits, except for the sign and payload of NaN."""
    actual, wanted = plain(actual, dtype), plain(wanted, dtype)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(wanted))
    nan = np.isnan(actual)
    bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[actual.dtype.itemsize]
    np.testing.assert_array_equal(np.where(nan, 0, actual.view(bits)), np.where(nan, 0, wanted.view(bits)))
