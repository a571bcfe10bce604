"""Where images come from: what a source offers, and the scan that brings the catalog's index up to date."""
