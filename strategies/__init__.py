"""One strategy a file: a plain function over flat records."""
