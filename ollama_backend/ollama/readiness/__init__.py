"""Whether Ollama is up, which models it has, and how they are loaded and pulled."""
