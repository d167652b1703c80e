"""Libraries of spiking neurons on a CPU, side by side: `make peers` runs `python -m benchmarks.peers`."""
