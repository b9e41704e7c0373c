"""Fuzzing: the target, its corpus and the replay of the corpus. docs/fuzzing.md says how to run it."""
