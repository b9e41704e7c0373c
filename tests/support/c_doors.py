"""The C functions that a kernel offers to other kernels, called as those call them: for what no Python face lets by."""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any

_NAME = ctypes.pythonapi.PyCapsule_GetName
_NAME.restype, _NAME.argtypes = ctypes.c_char_p, [ctypes.py_object]
_POINTER = ctypes.pythonapi.PyCapsule_GetPointer
_POINTER.restype, _POINTER.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def door(kernel: ModuleType, name: str, result: Any, *arguments: Any) -> Any:
    """A function of the kernel's .pxd that is not inline, with the C types of its result and arguments."""
    capsule = vars(kernel)["__pyx_capi__"][name]
    return ctypes.CFUNCTYPE(result, *arguments)(_POINTER(capsule, _NAME(capsule)))
