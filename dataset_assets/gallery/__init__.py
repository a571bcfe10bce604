"""The page with which a person looks a dataset over: what is on it, and when it is made anew."""
