"""``python -I -m hef_lsp``: the command line, with nothing of the current folder on the import path."""

from hef_lsp.cli import main

if __name__ == "__main__":
    main()
