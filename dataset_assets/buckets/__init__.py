"""Aspect-ratio buckets: the proto table, scaled sizes, and which image goes where."""
