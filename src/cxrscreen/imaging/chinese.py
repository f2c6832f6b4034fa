"""Chinese text by ISO 2022 IR 58, which pydicom 3.0 reads and writes wrongly: imported, this puts it right.

pydicom takes Python's codec ``iso_ir_58`` (GB 2312) for one that knows the escape sequence before each Chinese part, as
those for Japanese do. It does not: the sequence ``$)A`` stayed in names that were read, and lacked in those written.
"""

from pydicom import charset

# By its absence pydicom handles the escape sequence itself, as for Korean.
charset.handled_encodings = tuple(name for name in charset.handled_encodings if name != "iso_ir_58")  # type: ignore[assignment]
