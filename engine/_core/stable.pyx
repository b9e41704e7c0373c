import numpy as np

cdef const double[::1] _view(object values):
    cdef const double[::1] view = np.ascontiguousarray(values, dtype=np.float64).ravel()
    if view.shape[0] == 0:
        raise ValueError("no values")
    return view


def exp(double x):
    """e to the x."""
    return exp_c(x)


def logistic(double x):
    """1 / (1 + e**-x)."""
    return logistic_c(x)


def log_sum_exp(values):
    """The logarithm of the sum of the values' exponentials."""
    cdef const double[::1] view = _view(values)
    return log_sum_exp_c(&view[0], view.shape[0])


def softmax(values):
    """Shares in proportion to the values' exponentials."""
    cdef const double[::1] view = _view(values)
    cdef double[::1] out = np.empty(view.shape[0])
    softmax_c(&view[0], view.shape[0], &out[0])
    return np.asarray(out)


def total(values):
    """The sum, with what each addition rounds away."""
    cdef const double[::1] view = _view(values)
    return total_c(&view[0], view.shape[0])


def norm(values):
    """The Euclidean length."""
    cdef const double[::1] view = _view(values)
    return norm_c(&view[0], view.shape[0])
