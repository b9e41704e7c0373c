"""Runs with real threads."""
