"""Images in WebDataset tars, and in exports, which are made of them."""
