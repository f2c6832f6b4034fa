"""The one exception family: a sentence that says what is wrong, where, and what to do."""


class CxrscreenError(Exception):
    """A mistake or a fault a person can act on; its text is one sentence, shown without a traceback."""


class UnreadableImageError(CxrscreenError):
    """A file that cannot become a radiograph (damaged, not an image, not a projection radiograph, too large)."""


class UnreachableImageError(UnreadableImageError):
    """A file that the storage does not give, which says nothing of the image; it may be read later."""


class OutOfMemoryError(UnreadableImageError):
    """A file that the memory at hand does not hold; another moment or machine may read it."""


class ManifestError(CxrscreenError):
    """A manifest or protocol that is incomplete, malformed or contradicts itself."""


class BundleError(CxrscreenError):
    """A model bundle that is missing, incomplete or of another version."""


class RecipeError(CxrscreenError):
    """A training recipe with an unknown, missing or impossible setting."""
