"""What can be seen of a running engine, and the few things a person may tell it."""
