"""Captions out of the catalog into files, and from files into it."""
