"""Chooses, starts and supervises the Ollama server that is used."""
