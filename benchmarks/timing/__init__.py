"""How it is measured: clocks, interleaved calls, the load of the machine."""
