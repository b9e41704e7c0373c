"""Settings: what a user may choose, checked before anything starts."""
