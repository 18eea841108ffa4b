"""The virtual sky: galaxies whose truth is known, and what any survey would see of them."""
