"""The tables of what goes to and comes from other systems: DICOM instances, exports, deliveries, FHIR resources."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import JSON, Connection, ForeignKey, Index, String, UniqueConstraint, event, insert
from sqlalchemy.orm import Mapped, Mapper, mapped_column, relationship

from cxrscreen.service.store.columns import Base, Digest, Id, Text, Word
from cxrscreen.service.store.models import Image, Result, Study

ExportState = Literal["waiting", "leased", "done", "set_aside"]
DeliveryState = Literal["pending", "awaiting", "sent", "refused", "superseded"]
"""``"awaiting"``: the peer has it and was asked to commit itself to it. ``"superseded"``: it had not arrived
when there was something newer to tell of its study."""


class Instance(Base):
    """One DICOM instance that the service received or made, as searches see it."""

    __tablename__ = "instances"
    __table_args__ = (Index(None, "study_instance_uid", "series_instance_uid"),)

    id: Mapped[Id]
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), index=True)
    """The image that it is, or was made of."""
    result_id: Mapped[str | None] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"), index=True)
    """The result it was made of; none: received."""
    sop_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    series_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    modality: Mapped[str | None] = mapped_column(String(16))
    series_number: Mapped[int | None]
    instance_number: Mapped[int | None]
    patient_id: Mapped[str | None] = mapped_column(String(128), index=True)
    patient_name: Mapped[str | None] = mapped_column(String(256))
    study_date: Mapped[str | None] = mapped_column(String(8), index=True)
    study_time: Mapped[str | None] = mapped_column(String(16))
    accession_number: Mapped[str | None] = mapped_column(String(64), index=True)
    study_id: Mapped[str | None] = mapped_column(String(64))
    referring_physician: Mapped[str | None] = mapped_column(String(256))
    header: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The outermost attributes without bulk data (DICOM JSON model)."""
    sha256: Mapped[Digest] = mapped_column(index=True)
    size_bytes: Mapped[int]
    listed_at: Mapped[datetime]

    image: Mapped[Image] = relationship()


class Export(Base):
    """The work of making DICOM objects and FHIR resources of a result; queued in the result's own transaction."""

    __tablename__ = "exports"
    __table_args__ = (Index(None, "state", "not_before"),)

    result_id: Mapped[str] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"), primary_key=True)
    state: Mapped[Word] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    lease: Mapped[str | None] = mapped_column(String(32))
    leased_until: Mapped[datetime | None]
    reason: Mapped[Text | None]
    ended_at: Mapped[datetime | None]


class Delivery(Base):
    """Something on its way to another system; one for each destination and key, so that nothing is sent twice."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("destination", "key"),
        Index(None, "destination", "state", "not_before"),
    )

    id: Mapped[Id]
    destination: Mapped[str] = mapped_column(String(64))
    """Its kind and name: ``peer:pacs``, ``webhook:ris``, ``fhir:ehr``."""
    key: Mapped[str] = mapped_column(String(64))
    """SOP instance UID of an object; idempotency key of an event."""
    study_id: Mapped[str] = mapped_column(ForeignKey("studies.id", ondelete="CASCADE"), index=True)
    instance_id: Mapped[str | None] = mapped_column(ForeignKey("instances.id", ondelete="CASCADE"), index=True)
    content: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Of an event, as it is sent; none while it is pending: it could not be made yet."""
    state: Mapped[Word] = mapped_column(default="pending")
    position: Mapped[int] = mapped_column(default=0)
    """Among those put in at once."""
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime]
    holder: Mapped[str | None] = mapped_column(String(128))
    held_until: Mapped[datetime | None]
    transaction_uid: Mapped[str | None] = mapped_column(String(64), index=True)
    """Of the request for storage commitment."""
    reason: Mapped[Text | None]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    instance: Mapped[Instance | None] = relationship()


class Feed(Base):
    """A destination of events: studies that ended before it was first seen are not announced to it."""

    __tablename__ = "feeds"

    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[datetime]


class FhirResource(Base):
    """A FHIR resource made of a result."""

    __tablename__ = "fhir_resources"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    kind: Mapped[Word]
    result_id: Mapped[str] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"), index=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    position: Mapped[int]
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    made_at: Mapped[datetime] = mapped_column(index=True)


Index("ix_studies_screened_at", Study.screened_at)


@event.listens_for(Result, "after_insert")
def _queue(_mapper: Mapper[Result], connection: Connection, row: Result) -> None:
    """Queue a result's export in the transaction that writes the result."""
    connection.execute(insert(Export).values(result_id=row.id, state="waiting", attempts=0, not_before=row.made_at))
