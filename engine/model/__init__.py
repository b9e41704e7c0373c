"""Plain-Python twins of the kernels: slow, obvious, and the specification the compiled ones are held against."""
