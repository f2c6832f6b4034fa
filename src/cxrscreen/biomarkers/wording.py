"""The words of the biomarkers' page: what it says and what must not be concluded."""

from typing import Final

NOT_TO_CONCLUDE: Final = (
    "That a difference between two classes is a difference between two diseases. Normal, tuberculosis and COVID-19 "
    "images come from different countries, devices, ages and file formats; the tables by source show how far images of "
    "one class lie apart by their source alone.",
    "That a marker can tell a person's disease. Stars say that two crowds differ, not that a person of one can be told "
    "from a person of the other; the chance of superiority beside them does, and 0.5 is a coin.",
    "That the stars by image are the strength of the evidence. Images of one patient resemble each other and many "
    "pairs are tested; the stars by patient, corrected for all pairs of a table, are the ones to read.",
    "That masks of different origin compare. Human masks, automatic ones that no reader checked and a bundle's are "
    "drawn by different rules, and the origin goes with the class: see the table of what was measured.",
    "That an interval of a class of a few patients is as wide as it should be: below about ten patients a bootstrap is "
    "too narrow, and below three none is given.",
    "That leaving out AP supine radiographs removes the effect of lying down and of the projection: the view is not "
    "recorded everywhere, and other AP radiographs remain.",
    "That a large cardiothoracic ratio is a large heart. It grows in AP projection, lying down and in expiration, and "
    "one pixel more or less of a reduced copy moves it.",
    "That two lungs which fit each other are complete: where both lack a part, neither gives the other away.",
)
"""What must not be concluded from the page."""

DIFFERS: Final = (
    "All grey values and the form of the lungs are measured on squares of 256 pixels, with patches of the paper's "
    "share of the image (224 of 1024), so that the resolution of a source does not count as texture.",
    "Masks are those named in the first table; the paper's are its network's throughout.",
    "Only lung pixels of a patch count, and all patches do; the paper takes the patches its network classified "
    "correctly, which chooses the images that look as expected.",
    "The heart's diameter is the sum of its greatest distances to the midline (Danzer); the paper gives no formula. "
    "The widest single row is in biomarkers.csv as ctr_one_row.",
    "The test for a normal distribution is corrected for having estimated mean and spread (Lilliefors).",
    "Every class has other images than the paper's: the collections have grown or shrunk since, and copies are left "
    "out.",
)
"""What differs from the paper."""

ABOUT_STARS: Final = (
    "Stars: * p < 0.05, ** p < 0.01, *** p < 0.001, - not significant, n/a not tested (fewer than 3 patients). First "
    "by image as in the paper, then by patient and corrected for all pairs of the table (Holm), then, where it prints "
    "them, the paper's. In brackets 95 % intervals by patient (bootstrap)."
)
