"""What a header says in spite of single attributes that nobody can read."""

from pydicom.dataset import Dataset


def drop_illegible(dataset: Dataset) -> None:
    """Take out every attribute whose value cannot be read, also inside sequences.

    A value of the wrong length or of a kind that no edition of the standard knows, often a private one, is found only
    when it is asked for, and would else cost all that the others say.

    Parameters
    ----------
    dataset
        As read; changed in place.
    """
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:
            # What one malformed value raises is of no family.
            del dataset[tag]
            continue
        for item in element.value if element.VR == "SQ" else ():
            drop_illegible(item)
