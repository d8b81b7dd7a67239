"""The doors: each translates its own protocol, in and out."""
