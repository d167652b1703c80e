"""The JAX primitives: one module each, its definition and all of its rules side by side."""
