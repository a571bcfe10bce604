"""Static pages that open from disk: their files, and how data is put beside them. What it says is the callers'."""
