"""What can go wrong with a repository."""

from builder.media.errors import SourceError


class RepositoryError(SourceError):
    """A repository or key cannot be used; worded and reported like an unusable source ISO."""
