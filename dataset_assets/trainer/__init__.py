"""What trainers read: tars numbered by id with an index each, and the metadata of sd-scripts (docs/records.md)."""
