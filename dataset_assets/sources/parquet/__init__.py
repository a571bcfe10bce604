"""Images in a column of Parquet files, each read where it lies."""
