"""The errors of the index; each message says what to do next.

::

    IndexProblem
    ├── IndexUnwritable     read-only folder, full disk, permission
    ├── IndexReadOnly       opened for reading only, since another process writes
    └── IndexDamaged        the database could neither be read nor be moved aside
"""


class IndexProblem(Exception):
    """Any failure of the index that a user can act upon."""


class IndexUnwritable(IndexProblem):
    """The index's folder cannot be written."""


class IndexReadOnly(IndexProblem):
    """This process may read the index but not change it."""


class IndexDamaged(IndexProblem):
    """The database is damaged and could not be moved aside."""
