"""What trainers read: tars numbered by id with an index each, and the metadata of sd-scripts (SPEC 2.3 and 2.4)."""
