"""Chunks to hierarchy to searchable memory: the workspace as the models read it."""
