"""Strategies that exist to be held against themselves."""
