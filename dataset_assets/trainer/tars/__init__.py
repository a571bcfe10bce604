"""Tars numbered by id, each with its index: built in one pass, checked, and the stage that keeps them."""
