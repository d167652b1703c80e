"""Speed and accuracy of spikegrad beside the same in `jax.numpy` and in braintools: `python -m benchmarks`."""
