"""What is wrong with captions: found in their texts, judged by the settings."""
