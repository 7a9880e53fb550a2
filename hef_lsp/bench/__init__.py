"""Measurements of the server as a user meets it: keystroke to item, first index, one-file update."""
