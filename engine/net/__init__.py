"""Transports, HTTP, rate budgets, the measured clock: how bytes reach a venue, whatever they say."""
