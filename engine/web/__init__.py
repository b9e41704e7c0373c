"""The page: read-only, served in process, nothing from outside."""
