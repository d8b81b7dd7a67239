"""The surfaces: each translates its own protocol, in and out."""
