"""Partitions and the tars made from them: plan, tar, write, verify."""
