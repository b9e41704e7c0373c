"""Venue protocols: bytes in, events out; intents in, bytes out. No socket and no clock stands in here."""
