"""Where marks are drawn, and what the audit says of a system that reads them."""

import numpy as np

from cxrscreen.evaluate.audit.burn_in import MARKS, audit_burn_in, burned_arrow, burned_text
from cxrscreen.evaluate.audit.erasure import audit_mark_erasure


def test_a_text_stands_where_it_was_asked_for_and_never_leaves_the_image():
    pixels = np.zeros((100, 200), np.float32)
    lungs = np.zeros((100, 200), np.bool_)
    middle = burned_text(pixels, lungs, text="R", place=(0.5, 0.25), height=0.2) > 0.5
    rows, columns = np.nonzero(middle)
    assert abs(rows.mean() - 50) < 4
    assert abs(columns.mean() - 50) < 4
    assert 8 < np.ptp(rows) < 22
    outside = burned_text(pixels, lungs, text="R", place=(1.5, 1.5), height=0.2) > 0.5
    assert outside.sum() == middle.sum()


def test_an_arrow_ends_in_the_lung_at_the_right(lungs):
    arrow = burned_arrow(np.zeros((64, 64), np.float32), lungs, length=0.25) > 0.5
    rows, columns = np.nonzero(arrow)
    assert rows.max() in (31, 32)
    assert columns.max() in (43, 44)
    assert rows.min() < 31


def test_a_system_that_reads_the_letter_fails_and_its_planted_shortcut_is_found(audit_of, lungs):
    letter_alone = MARKS[0].draw(np.zeros((64, 64), np.float32), lungs) > 0.3
    part = audit_burn_in(audit_of(letter_alone))
    assert part.passed is False
    changes, planted = part.tables
    by_mark = {row[1]: row for row in changes.rows}
    letter, far = by_mark[MARKS[0].name], by_mark[MARKS[1].name]
    assert letter[6].value > 0.1
    assert letter[5] > 0.1
    assert far[6].value == 0
    row = {row[1]: row for row in planted.rows}[MARKS[0].name]
    assert row[3].value > row[2].value > row[4].value
    assert "letter R, top left" in part.finding


def test_a_system_that_reads_the_lungs_passes(honest):
    part = audit_burn_in(honest)
    assert part.passed is True
    over = {row[1]: row for row in part.tables[0].rows}["letter over a lung"]
    assert over[4].value > 0


def test_erasing_the_corners_moves_only_who_reads_them(honest, cheating):
    steady, moved = (audit_mark_erasure(data).tables[0].rows[0] for data in (honest, cheating))
    assert steady[5] < 1e-6
    assert moved[5] > 1e-4
    assert audit_mark_erasure(honest).passed is True


def test_few_images_give_no_verdict(audit_of, lungs):
    part = audit_burn_in(audit_of(lungs, images=20))
    assert part.passed is None
    assert "No verdict below 50 images" in part.finding
