"""A whole market under one seed - clock, network, venue, disk, process - that tries to break the engine."""
