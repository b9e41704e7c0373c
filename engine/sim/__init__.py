"""Markets and venues that live in this process, on simulated time and under one seed."""
