"""What a partitioned program must not hold, and the mesh on which the tests partition."""

import re

import jax

COLLECTIVE = re.compile(r"\b(all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|dynamic-slice)\b")


def mesh(kind):
    return jax.make_mesh((4, 2), ("i", "j"), axis_types=(kind,) * 2, devices=jax.devices("cpu"))
