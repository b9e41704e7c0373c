"""Safety that outlives the process: trip sources, the trip sequence, courier, audit, drills, the daemon's plumbing."""
