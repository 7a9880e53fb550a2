"""``python -I -m hef_lsp``: the command line, with nothing of the current folder on the import path.

Without ``-I`` Python puts that folder first; it is taken off before anything else is imported, so that a
workspace's `torch.py` is not ours. A workspace that holds a folder `hef_lsp` was run by then: hence ``-I``.
"""

import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - no import
        del sys.path[0]
    from hef_lsp.cli import main

    main()
