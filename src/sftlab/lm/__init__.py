"""Models, tokenizers, templates, token arrays, adapters, and forward passes."""
