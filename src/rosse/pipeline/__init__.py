"""A survey: which verbs, over which partitions, on how many cores, and where it stopped."""
