"""The catalog, dataset.sqlite or the same on a server: its tables, their migrations, and what stages ask of them."""
