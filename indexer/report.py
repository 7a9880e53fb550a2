"""What an update of the index did, in figures. Owns no behaviour but adding up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UpdateReport:
    """What an update did. `encoded` and `fused` count the fuser's work, `embedded` the embedder's."""

    generation: int = 0
    files: int = 0
    chunks_added: int = 0
    chunks_removed: int = 0
    chunks_kept: int = 0
    embedded: int = 0
    encoded: int = 0
    fused: int = 0
    seconds: float = 0.0

    def plus(self, other: UpdateReport) -> UpdateReport:
        """Both together, at the later generation."""
        return UpdateReport(
            max(self.generation, other.generation),
            self.files + other.files,
            self.chunks_added + other.chunks_added,
            self.chunks_removed + other.chunks_removed,
            self.chunks_kept + other.chunks_kept,
            self.embedded + other.embedded,
            self.encoded + other.encoded,
            self.fused + other.fused,
            self.seconds + other.seconds,
        )
