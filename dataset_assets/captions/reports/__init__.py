"""What people ask of captions: what they will cost, how they are, and why one won."""
