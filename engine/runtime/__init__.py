"""Puts the parts together and drives them. wiring.py is the only place that knows everybody."""
