"""The JAX primitives: one module each, with its definition and all of its rules."""
