"""Where artifacts lie and how they are written. Nothing else builds a path under a dataset's root, or writes there."""
