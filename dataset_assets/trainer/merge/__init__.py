"""The merge itself: ids cut into stretches, each joined in memory and written in its turn."""
