"""Puts the parts together and drives them: session.py composes a run, wiring.py the smallest core there is."""
