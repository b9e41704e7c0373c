"""The numpy dtypes of the strategy records, read back from the structs."""
import numpy as np

cdef view_t _view
cdef wishes_t _wishes

VIEW = np.asarray(<view_t[:1]>&_view).dtype
WISHES = np.asarray(<wishes_t[:1]>&_wishes).dtype

OK = STRATEGY_OK
STOP = STRATEGY_STOP
KEEP = WISH_KEEP
REST = WISH_REST
NONE = WISH_NONE
