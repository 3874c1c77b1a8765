"""GGUF files of causal language models (the format of llama.cpp): the file, then the network and the tokenizer in it."""
