"""What makes a folder of shards a release: manifest, dataset card, contact sheet."""
