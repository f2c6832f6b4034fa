"""De-identification on arrival: DICOM PS3.15's basic profile, with pseudonyms by a secret key.

Which attribute loses what is the standard's table E.1-1, edition 2026c, as ``dicom-anonymizer`` carries it. Names and
numbers become pseudonyms that follow from a secret key and what was there before: the same person is the same pseudonym
in every process and after every restart, and who lacks the key cannot go back. Pixels are not looked at: text that is
burned into the image stays, and the gate warns of it; a file that itself says so is refused.
"""

import base64
import hashlib
import hmac
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import IO, Any, Final

import pydicom
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from dicomanonymizer.simpledicomanonymizer import anonymize_dataset, empty_element, replace_element
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID

from cxrscreen.imaging.legible import drop_illegible
from cxrscreen.imaging.silence import without_warnings
from cxrscreen.service.problems import UnreadableUploadError
from cxrscreen.service.security.plain_picture import plain_picture
from cxrscreen.service.settings import Settings

EDITION: Final = "dicomfields_2026c"
_MOMENTS: Final = ("DA", "DT", "TM")
_SHIFT_DAYS: Final = (365, 3650)
_OVERLAYS: Final = (0x6000, 0x0000, 0xFF00, 0x0000)
"""The standard's table takes the drawing out of an overlay; what is left of it is of no use, and has free text."""
_NOT_IN_TABLE: Final = (
    "PatientBirthDateInAlternativeCalendar",
    "PatientDeathDateInAlternativeCalendar",
    "PatientAlternativeCalendar",
    "CommentsOnTheScheduledProcedureStep",
    "SecondaryReviewerName",
    "EvaluatorName",
    "DocumentAuthorTrial",
)
"""What names a person or a day as well, though the table does not list it."""
_Rule = Callable[[Dataset, Any], None]


class NotDeidentifiedError(UnreadableUploadError):
    """An upload out of which names and numbers cannot be taken."""


@dataclass(frozen=True)
class Deidentifier:
    """Takes names and numbers out of files.

    Parameters
    ----------
    key
        Secret; another key gives other pseudonyms.
    keep_intervals
        Move the dates of each person back by the same number of days, one to ten years, instead of removing them
        (PS3.15, retain longitudinal temporal information with modified dates): a course over time can still be seen.
    """

    key: bytes
    keep_intervals: bool = False

    def file(self, content: IO[bytes], *, is_dicom: bool) -> IO[bytes]:
        """Return an image's file without names and numbers; the same file always gives the same bytes.

        Raises
        ------
        NotDeidentifiedError
            If a DICOM file says that text is burned into its pixels, or it cannot be read or written.
        UnreadableUploadError
            If a picture cannot be read.
        """
        content.seek(0)
        if not is_dicom:
            return plain_picture(content)
        try:
            with without_warnings():
                return self._dicom(content)
        except UnreadableUploadError:
            raise
        except Exception as error:
            # What parsers raise on damaged data is not one family, and their texts hold parts of the file.
            raise NotDeidentifiedError(
                f"The file could not be de-identified ({type(error).__name__}); export it again in standard DICOM."
            ) from None
        finally:
            content.seek(0)

    def pseudonym(self, reference: str, issuer: str = "") -> str:
        """Return what a person's number becomes; numbers of several issuers do not meet."""
        digest = self._digest("person", issuer.strip(), reference.strip())
        return f"ANON-{base64.b32encode(digest[:10]).decode()}"

    def moved(self, day: date | None, pseudonym: str | None) -> date | None:
        """Return what a date of a person becomes; None where it is removed."""
        if day is None or pseudonym is None or not self.keep_intervals:
            return None
        try:
            return day - timedelta(days=self._shift(pseudonym))
        except OverflowError:
            # Before the calendar's first day; a date that old is a mistake.
            return None

    def uid(self, old: str) -> UID:
        """Return what a UID becomes: one derived from a number of 128 bits (PS3.5, annex B.2)."""
        return UID(f"2.25.{int.from_bytes(self._digest('uid', old.strip())[:16])}")

    def _dicom(self, content: IO[bytes]) -> IO[bytes]:
        dataset = pydicom.dcmread(content, force=True)
        # What cannot be read might name somebody.
        drop_illegible(dataset)
        if str(dataset.get("BurnedInAnnotation", "")).strip().upper() == "YES":
            raise NotDeidentifiedError(
                "The file says that text is burned into its image, which is not removed here; send one without."
            )
        reference, issuer = str(dataset.get("PatientID") or ""), str(dataset.get("IssuerOfPatientID") or "")
        pseudonym = self.pseudonym(reference, issuer) if reference.strip() else None
        # Without a number the images of one study still move together.
        shift = self._shift(pseudonym or str(dataset.get("StudyInstanceUID") or ""))
        syntax = getattr(dataset, "file_meta", FileMetaDataset()).get("TransferSyntaxUID")
        sop_class = dataset.get("SOPClassUID")
        rules = self._rules(shift)
        dataset.file_meta = FileMetaDataset()
        dataset.preamble = b"\0" * 128
        self._clean(dataset, rules)
        if pseudonym is not None:
            dataset.PatientID = dataset.PatientName = pseudonym
        self._say_so(dataset)
        # Written anew, and nothing of the old header is taken over but how the pixels are packed.
        dataset.file_meta.TransferSyntaxUID = UID(syntax or _syntax_of(dataset))
        if sop_class is not None:
            dataset.file_meta.MediaStorageSOPClassUID = sop_class
        if "SOPInstanceUID" in dataset:
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        written = io.BytesIO()
        pydicom.dcmwrite(written, dataset, enforce_file_format=True)
        written.seek(0)
        return written

    def _clean(self, dataset: Dataset, rules: Mapping[Any, _Rule]) -> None:
        anonymize_dataset(dataset, delete_private_tags=True, base_rules_gen=lambda: dict(rules))
        # The table speaks of attributes wherever they are; the library looks at the outermost ones.
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    self._clean(item, rules)

    def _rules(self, shift: int) -> dict[Any, _Rule]:
        table = dicom_anonymization_database_selector(EDITION)

        def on(act: Callable[[Dataset, DataElement], None]) -> _Rule:
            def rule(dataset: Dataset, tag: Any) -> None:
                if tag in dataset:
                    act(dataset, dataset[tag])

            return rule

        def moved(otherwise: Callable[[Dataset, DataElement], None]) -> Callable[[Dataset, DataElement], None]:
            def act(dataset: Dataset, element: DataElement) -> None:
                if self.keep_intervals and element.VR in ("DA", "DT") and element.keyword != "PatientBirthDate":
                    _move(element, shift)
                else:
                    otherwise(dataset, element)

            return act

        def replace_uid(_dataset: Dataset, element: DataElement) -> None:
            self._replace_uid(element)

        def replace_any(dataset: Dataset, element: DataElement) -> None:
            if element.VR == "UI":
                self._replace_uid(element)
            else:
                _replace(dataset, element)

        more = (Tag(keyword) for keyword in _NOT_IN_TABLE)
        empty, remove, replace = on(moved(_empty)), on(moved(_remove)), on(moved(replace_any))
        return {
            **dict.fromkeys((*table["X_TAGS"], _OVERLAYS, *((tag.group, tag.element) for tag in more)), remove),
            **dict.fromkeys((*table["Z_TAGS"], *table["X_Z_TAGS"], *table["Z_D_TAGS"]), empty),
            **dict.fromkeys((*table["D_TAGS"], *table["X_D_TAGS"], *table["X_Z_D_TAGS"]), replace),
            **dict.fromkeys((*table["U_TAGS"], *table["X_Z_U_STAR_TAGS"]), on(replace_uid)),
        }

    def _replace_uid(self, element: DataElement) -> None:
        if element.VR == "SQ":
            # References to other files; the UIDs in them are replaced when the items are cleaned.
            return
        if isinstance(element.value, MultiValue):
            element.value = [self.uid(str(value)) for value in element.value]
        elif element.value:
            element.value = self.uid(str(element.value))

    def _say_so(self, dataset: Dataset) -> None:
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = "DICOM PS3.15 basic profile, pixels not cleaned"
        codes = [("113100", "Basic Application Confidentiality Profile")]
        if self.keep_intervals:
            codes.append(("113107", "Retain Longitudinal Temporal Information Modified Dates Option"))
        dataset.DeidentificationMethodCodeSequence = [_code(value, meaning) for value, meaning in codes]
        dataset.LongitudinalTemporalInformationModified = "MODIFIED" if self.keep_intervals else "REMOVED"

    def _shift(self, of: str) -> int:
        least, most = _SHIFT_DAYS
        return least + int.from_bytes(self._digest("shift", of)[:8]) % (most - least)

    def _digest(self, *parts: str) -> bytes:
        return hmac.new(self.key, "\0".join(parts).encode(), hashlib.sha256).digest()


def deidentifier_of(settings: Settings) -> Deidentifier | None:
    """Return what takes names and numbers out of files as they arrive; None where the settings leave them in."""
    if settings.deidentify == "off" or settings.pseudonym_key is None:
        return None
    return Deidentifier(
        settings.pseudonym_key.get_secret_value().encode(), settings.deidentify == "basic_keep_intervals"
    )


def _remove(dataset: Dataset, element: DataElement) -> None:
    del dataset[element.tag]


def _empty(_dataset: Dataset, element: DataElement) -> None:
    if element.VR == "SQ":
        element.value = []
    elif element.VR in _MOMENTS:
        element.value = ""
    else:
        empty_element(element)


def _replace(dataset: Dataset, element: DataElement) -> None:
    # A date that is none misleads more than one that is missing.
    if element.VR in ("SQ", *_MOMENTS):
        _empty(dataset, element)
    else:
        replace_element(element)


def _move(element: DataElement, days: int) -> None:
    """Move a date, or the date of a moment, whose time of day goes; what is no date is emptied."""
    try:
        day = datetime.strptime(str(element.value)[:8], "%Y%m%d").date() - timedelta(days=days)
    except (ValueError, OverflowError):
        element.value = ""
    else:
        element.value = day.strftime("%Y%m%d")


def _syntax_of(dataset: Dataset) -> str:
    implicit = dataset.original_encoding[0]
    return pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
