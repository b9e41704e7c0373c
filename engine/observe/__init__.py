"""What the engine shows of itself."""
