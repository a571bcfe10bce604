"""What is different between two exports. Needs nothing but their folders."""
