"""What people see in galaxies: decision trees, the votes of volunteers, and how probable votes are."""
