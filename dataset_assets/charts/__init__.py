"""Pictures of numbers, as PNG: what Dagster's UI, the dataset card and the report of trainer metadata show."""
