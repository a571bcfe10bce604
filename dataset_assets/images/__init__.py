"""Bytes → pixels → bytes: one image at a time, and the workers that do it side by side."""
