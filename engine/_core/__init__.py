"""The compiled kernels. Each stem is one idea: `.pxd` contract, `.pyx` code, `.pyi` what Python sees.

Nothing here imports Python code of the engine, and no kernel allocates after start.
"""
