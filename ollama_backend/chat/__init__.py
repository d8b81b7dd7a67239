"""The life of a request: admission, the line, slots, answers and sessions."""
