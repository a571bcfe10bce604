"""Caption records without images: files of records in, one chosen caption an id out, cut by ranges of tars."""
