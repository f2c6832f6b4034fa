"""What the patch-voting tables say beside their figures."""

SYSTEM = "patch-voting"

INTERVALS = (
    "Intervals: 95 %, by patient (bootstrap; rates by Wilson with the sample size adjusted for patients). Differences "
    "are paired: the same images on the same resamples. One training each, so what another seed would change is in no "
    "interval. Stars: * p < 0.05, ** p < 0.01, *** p < 0.001, not corrected for the number of tests."
)
SETS_IN_WORDS = {
    "lungs": "lungs, own source",
    "heart": "heart, own source",
    "elsewhere": "lungs elsewhere, preprocessed",
    "elsewhere, raw": "lungs elsewhere, original grey values",
}
ORGANS_DIFFER = (
    "Network, length and augmentation of the trainings are those of the recipe; the paper names neither epochs nor "
    "augmentation.",
    "JSRT images are at hand at 224 pixels, reduced from 2048: outlines are coarser than the paper's at 256.",
    "Our figures on JSRT are of a test part that chose nothing; the paper's are of its validation images.",
)
ELSEWHERE = (
    "That diseased lungs are found as well: masks of both sources are of normal chests, and of chests with nodules in "
    "JSRT.",
)
VOTES_DIFFER = (
    "The images are others: the paper's bacterial and viral images and most of its normal ones come from a collection "
    "that is not in these data, and its test images are 99. Parts share no patient and no known copy here.",
    "Networks, lengths, augmentation and the number of epochs are the recipe's.",
)
NOT_CONCLUDED = (
    "That the method is better or worse than the paper's because a figure is higher or lower: the images are others.",
    "That a difference of two trainings is one of the methods where its interval holds 0; and where it does not, "
    "another seed can still change it.",
)
CONFOUNDED = (
    "That a disease is recognised: no source holds every class, so that a class can be called by recognising the "
    "source. Read the areas within sources of `cxrscreen patch-voting`.",
    "That COVID-19 is told from other viral pneumonia: they are one class.",
)
