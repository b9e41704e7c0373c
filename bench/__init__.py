"""Benches: every figure with its peer, its floor and its goal, in one run. `make bench` prints the table."""
