"""Other libraries' conventions on top of the public names."""
