"""The Dagster layer: one thin file a concept. Asset bodies call one function of the library each."""
