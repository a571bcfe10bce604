"""Turns a heap of images into a captioned, aspect-ratio-bucketed, training-ready dataset, and keeps it so."""
