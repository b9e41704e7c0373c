"""The one command `bot4`: one file per group of sub-commands."""
