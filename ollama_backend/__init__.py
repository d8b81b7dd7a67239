"""What stands behind the page: keys, the line, the answers and the way to Ollama."""
