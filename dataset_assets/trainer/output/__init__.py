"""What the merge writes: the text of every file, the report and its plot."""
