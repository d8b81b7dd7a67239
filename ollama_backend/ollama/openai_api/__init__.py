"""Uses a server with OpenAI's API in place of Ollama, by translating requests and responses."""
