"""Talking to Ollama: what is sent, what comes back, which one runs and whether it is ready."""
