"""The errors of the index; each message says what to do next.

::

    IndexProblem
    ├── IndexUnwritable     read-only folder, full disk, permission
    ├── IndexReadOnly       opened for reading only, since another process writes
    ├── IndexForeign        of other models or another version, and opened for reading only
    ├── IndexNotReady       opened for reading only while its writer makes or mends it
    └── IndexDamaged        the database could neither be read nor be moved aside
"""


class IndexProblem(Exception):
    """Any failure of the index that a user can act upon."""


class IndexUnwritable(IndexProblem):
    """The index's folder cannot be written."""


class IndexReadOnly(IndexProblem):
    """This process may read the index but not change it."""


class IndexForeign(IndexProblem):
    """This process may only read the index, and cannot: it is of other models or another version."""


class IndexNotReady(IndexProblem):
    """This process may only read the index, and its writer has not made or mended it yet."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the other server's index cannot be read yet ({why}); it is tried again")


class IndexDamaged(IndexProblem):
    """The database is damaged and could not be moved aside."""
