"""The errors of the model layer; each message says what to do next.

::

    ModelError
    ├── ModelNotFound         no such name, folder or file
    ├── ModelUnavailable      known, but not on disk and not to be fetched now (offline, refused)
    ├── ModelCorrupt          on disk but truncated, of a wrong checksum, or unreadable
    ├── ModelTooLarge         does not fit the memory or the download limit
    └── CheckpointMismatch    a fuser or projector made for another generator or format
"""


class ModelError(Exception):
    """Any failure of the model layer that a user can act upon."""


class ModelNotFound(ModelError):
    """The name is no known model, no folder, no GGUF file and no hub id."""


class ModelUnavailable(ModelError):
    """The model is known but is not on disk and cannot be fetched now."""


class ModelCorrupt(ModelError):
    """A file is truncated, has a wrong checksum, or cannot be read."""


class ModelTooLarge(ModelError):
    """The model does not fit the memory or the agreed download size."""


class CheckpointMismatch(ModelError):
    """A checkpoint was made for another generator, or in another format version."""
