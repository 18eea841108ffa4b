"""The forward model: how a galaxy looks through an instrument, as pure functions."""
