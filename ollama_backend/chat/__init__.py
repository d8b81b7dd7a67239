"""Requests from admission to their end: the line, slots, answers and sessions."""
