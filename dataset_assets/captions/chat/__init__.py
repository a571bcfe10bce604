"""Captions that models make: what is asked, how, and what their answers are."""
