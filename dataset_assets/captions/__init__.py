"""Caption texts: where they come from, and the waterfall that chooses one a sample."""
