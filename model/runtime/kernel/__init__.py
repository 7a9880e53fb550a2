"""Passes of few rows by a kernel of our own, built on the user's machine where it can be (decision 0018)."""
