"""Two measured fields that need no download: one simulated with known truth, one real."""
