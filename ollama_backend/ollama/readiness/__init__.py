"""Whether Ollama is up, which models it has, and loading and pulling them."""
