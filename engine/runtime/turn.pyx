cdef class Turn:
    """Nobody's: no step runs and nothing has failed."""
