"""Whose turn it is: what the way of a message asks before it steps the core.

Owns: whether a step runs, and the fault that ended the session. A base of `Door`, because a field of a compiled class is
read in a nanosecond and an attribute of a plain one in thirty, four times a message.
"""


cdef class Turn:
    cdef public bint busy         # inside a step: what is told meanwhile waits until it is over
    cdef public object failure    # a fault of ours, raised where the session asks for events
