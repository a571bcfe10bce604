"""Pictures of a few crops: the contact sheet of an export, and the strips that Dagster shows."""
