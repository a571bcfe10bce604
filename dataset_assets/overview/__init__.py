"""What a dataset is in numbers, for a person to look at: counted in set operations, never drawn here."""
