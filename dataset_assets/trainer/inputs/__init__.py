"""The files that are merged, read in portions: JSON objects, JSON lines and tables to rows, each with its faults."""
