from pydicom import charset

import cxrscreen.imaging.chinese  # noqa: F401 - imported, it mends


def test_chinese_text_is_read_and_written_with_its_escape_sequence():
    encodings = charset.convert_encodings(["", "ISO 2022 IR 58"])
    stored = b"\x1b$)A\xd0\xa1\xb6\xab"
    assert charset.decode_bytes(stored, encodings, set()) == "小东"
    assert charset.encode_string("小东", encodings) == stored
    # In the next line the first character set holds again (PS3.5, K.3).
    lines = b"1. \x1b$)A\xb5\xda\xd2\xbb.\r\n2. \x1b$)A\xb5\xda\xb6\xfe."
    assert charset.decode_bytes(lines, encodings, set(b"\r\n\t\f")) == "1. 第一.\r\n2. 第二."
