"""In-kernel timing loops: compiled beside the benches, never shipped."""
