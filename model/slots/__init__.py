"""Memories made of the generator's own keys and values: no training, any model that the runtime can run."""
