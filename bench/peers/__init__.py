"""The peers that are a few lines of Python."""
