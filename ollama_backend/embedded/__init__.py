"""A small Ollama for machines without one: a program that speaks Ollama's protocol over llama.cpp.

It imports nothing else of this project and nothing imports it: it is started as a child process,
`python -m ollama_backend.embedded --gguf FILE`, so that a native crash cannot take the app along.
"""
