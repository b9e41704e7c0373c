"""Research: figures of performance, data sets, reports and sweeps. Beside the engine, never on its path."""
