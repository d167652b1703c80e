"""lif's handlers that are called directly with wrong operands raise a clear InvalidArgument and never crash."""

import jax
import numpy as np
import pytest
import spikegrad  # noqa: F401  (registers the targets)
from numpy_lif import numpy_lif

T, N = 5, 3
X = np.linspace(-1, 2, T * N, dtype=np.float32).reshape(T, N)
STATE = np.ones((1, N), np.float32)
KEPT = np.zeros((3, N), np.float32)  # every second step
ONE = np.float32(1)
LAYER = {"axis": 0, "steps": T, "step_order": 0, "reset": 1, "detach_reset": 0, "every": 2}
PARAMETERS = (np.float32(0.5), np.float32(0), np.float32(0.5))


def results(*likes):
    return [jax.ShapeDtypeStruct(like.shape, like.dtype) for like in likes]


def call(target, out, *operands, **attributes):
    typed = {name: np.int64(value) if isinstance(value, int) else value for name, value in attributes.items()}
    f = jax.ffi.ffi_call(target, out)
    return jax.block_until_ready(jax.jit(lambda *operands: f(*operands, **typed))(*operands))


def forward(x=X, decay=ONE, threshold=ONE, v0=ONE, out=(X, STATE), extra=(), **changed):
    layer = {**LAYER, "every": 0, **changed}
    return call("spikegrad.lif.v2", results(*out), x, decay, threshold, v0, *extra, **layer)


def tangent(x=X, dots=(X, ONE, ONE, STATE), parameters=PARAMETERS, out=(X, STATE), **changed):
    operands = x, ONE, ONE, STATE, *dots, *parameters
    attributes = {**LAYER, "v_moves": 1, "decay_moves": 1, **changed}
    return call("spikegrad.lif_tangent.gaussian_mixture.v3", results(*out), *operands, **attributes)


def cotangent(x=X, kept=KEPT, bars=(X, STATE, ONE * 0), parameters=PARAMETERS, out=(X, STATE), **changed):
    operands = x, ONE, ONE, kept, *bars, *parameters
    return call("spikegrad.lif_cotangent.gaussian_mixture.v2", results(*out), *operands, **{**LAYER, **changed})


def test_the_right_calls_pass():
    spikes, v_final, kept, membrane = forward(out=(X, STATE, KEPT, X), every=2)
    wanted = numpy_lif(X, 1, 1, 1, "charge_fire_reset", "subtract")
    for got, want in zip((spikes, v_final[0], membrane), wanted, strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(kept[0], np.ones(N))
    assert len(forward(out=(X, STATE, X))) == len(tangent(out=(X, STATE, X))) == 3
    assert len(cotangent(out=(X, STATE, STATE, STATE))) == 4


@pytest.mark.parametrize("every", [T, T + 1, 2**31, 2**61 + 1, 2**62, 2**63 - 1])
def test_one_checkpoint_for_however_many_steps(every):
    """Without a clamp, 2**62 would divide by zero and 2**61 + 1 would write past the segment."""
    start = KEPT[:1]
    spikes, _, kept = forward(out=(X, STATE, start), every=every)
    np.testing.assert_array_equal(kept, STATE)
    for got, wanted in zip(cotangent(kept=kept, every=every), cotangent(kept=kept, every=T), strict=True):
        np.testing.assert_array_equal(got, wanted)
    for got, wanted in zip(tangent(every=every), tangent(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(spikes, forward()[0])


@pytest.mark.parametrize(
    "f, changed, message",
    [
        (forward, {"steps": 6}, r"F32\[5,3\] must have all 6 steps of time along axis 0; was it sharded over time\?"),
        (forward, {"axis": 2}, r"axis 2 is not an axis of the current, F32\[5,3\]"),
        (forward, {"axis": -1}, "axis -1 is not an axis"),
        (forward, {"step_order": 3}, "step_order must be 0, 1 or 2, and is 3"),
        (forward, {"reset": -1}, "reset must be 0, 1 or 2, and is -1"),
        (forward, {"every": -1}, "every must not be negative"),
        (forward, {"every": np.int32(0)}, "S64|int64|type"),
        (forward, {"x": X.astype(np.int32)}, r"x must have one of the dtypes f16 bf16 f32 f64, and is S32\[5,3\]"),
        (forward, {"x": X[:0], "steps": 0, "out": (X[:0], STATE)}, "the current must have at least one step"),
        (forward, {"decay": STATE[0]}, r"decay must be F32, .* but size 1 along axis 0, and is F32\[3\]"),
        (forward, {"threshold": X}, r"threshold must be F32, .* and is F32\[5,3\]"),
        (forward, {"v0": np.float16(1)}, r"v0 must be F32, .* and is F16\[\]"),
        (forward, {"out": (X[:4], STATE)}, r"spikes must be F32, .* but size 5 along axis 0, and is F32\[4,3\]"),
        (forward, {"out": (X, X)}, r"v_final must be F32, .* but size 1 along axis 0, and is F32\[5,3\]"),
        (forward, {"out": (X,)}, "the result v_final is missing"),
        (
            forward,
            {"out": (X, STATE, KEPT[:2]), "every": 2},
            r"checkpoints of v must be F32, .* but size 3 along axis 0",
        ),
        (forward, {"out": (X, STATE, X, X)}, "there must be 4 arguments and 3 results, and there are 4 and 4"),
        (forward, {"extra": (ONE,)}, "there must be 4 arguments and 2 results, and there are 5 and 2"),
        (tangent, {"dots": (X[:4], ONE, ONE, STATE)}, r"current_dot must be F32, .* and is F32\[4,3\]"),
        (tangent, {"dots": (X, ONE, ONE, X)}, "v0_dot must be F32"),
        (
            tangent,
            {"parameters": PARAMETERS[:2]},
            "there must be 3 parameters for each of 1 to 3 terms, and there are 2",
        ),
        (tangent, {"parameters": (X, ONE, ONE)}, r"a parameter must be a scalar, F32\[\], and is F32\[5,3\]"),
        (cotangent, {"kept": KEPT[:2]}, r"checkpoints of v must be F32, .* but size 3 along axis 0, and is F32\[2,3\]"),
        (cotangent, {"kept": ONE}, r"checkpoints of v must be F32, .* and is F32\[\]"),
        (cotangent, {"every": 0}, "every must be positive where there are checkpoints"),
        (cotangent, {"bars": (X, X, ONE)}, "v_final_bar must be F32"),
        (cotangent, {"bars": (X.astype(np.float64), STATE, ONE)}, "spikes_bar must be F32"),
        (cotangent, {"parameters": ()}, "there must be 3 parameters for each of 1 to 3 terms, and there are 0"),
        (cotangent, {"out": (X, STATE, STATE)}, "the result threshold_bar is missing"),
    ],
)
def test_wrong_operands_results_and_attributes(x64, f, changed, message):
    with pytest.raises(Exception, match=message) as error:
        f(**changed)
    assert "INVALID_ARGUMENT" in str(error.value)


def test_missing_arguments_and_attributes():
    with pytest.raises(Exception, match="the argument v0 is missing"):
        call("spikegrad.lif.v2", results(X, STATE), X, ONE, ONE, **{**LAYER, "every": 0})
    with pytest.raises(Exception, match="steps"):
        call("spikegrad.lif.v2", results(X, STATE), X, ONE, ONE, ONE, axis=0)
