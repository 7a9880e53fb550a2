"""A language server that completes code knowing the whole repository."""

__version__ = "0.1.0"
