"""The base of all HTTP surfaces."""
