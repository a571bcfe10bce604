"""Bytes → pixels → bytes: headers, decoding, colour, resizing, cropping, encoding, and the workers that do it side by side."""
