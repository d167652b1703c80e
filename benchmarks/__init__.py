"""Speed and accuracy of spikegrad, compared with `jax.numpy` and braintools: `python -m benchmarks`."""
