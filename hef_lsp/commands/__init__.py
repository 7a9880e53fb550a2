"""The commands, a file for each group; the application that joins them is `hef_lsp.cli`."""
