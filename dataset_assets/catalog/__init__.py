"""The catalog, dataset.sqlite: its tables, their migrations, and the questions that the stages ask of them."""
