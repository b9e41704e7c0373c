# Nothing of this module can be reached from Python; its contract is the .pxd.
