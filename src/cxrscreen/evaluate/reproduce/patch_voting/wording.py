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
    "The hearts of JSRT here are polygons of landmarks (Gaggion et al. 2022), derived from the outlines that the paper "
    "has; where heart and lung meet the pixel is lung.",
)
ELSEWHERE = (
    "That diseased lungs are found as well: the images measured here are of normal chests, of chests with nodules in "
    "JSRT and, where the recipe does not say normal_only, of tuberculosis in Montgomery.",
)
VOTES_DIFFER = (
    "The images are others: half of the paper's normal images and two fifths of its bacterial ones come from a "
    "collection that is not in these data (CoronaHack), and its test images are 99. Parts share no patient and no "
    "known copy here.",
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
TABLE12_REMARKS = (
    "Sensitivity for COVID-19 is of ten images: 10/10 and 8/10 do not differ by more than chance gives "
    "(Fisher's exact test, p = 0.47), so the printed improvement is not shown by these counts.",
    "Of what the paper's network calls COVID-19, 3 of 13 images are not; of what COVID-Net calls so, 1 of 9.",
)
TABLE12_DIFFERS = (
    "COVID-Net's pneumonia and normal images (RSNA) are not in these data: adults' images of Cohen's collection and of "
    "NIH stand for them, 100, 100 and 10 for the test, drawn by patient; some hundreds are learned from, not 14,623.",
    "A tenth of each class of what is left validates; the paper has another 100, 100 and 10 images for that.",
    "COVID-19 is a class of its own here, and all other pneumonia is one; the shipped system has other classes.",
    "COVID-Net is not run: its figures are the printed ones, on other images than ours.",
)
TABLE12_CONCLUDE = (
    "That COVID-19 is told from other pneumonia: nearly all images of COVID-19 come from one collection and nearly all "
    "others from another, so that the source gives the class away.",
    "That one of the two methods is better: ten images of COVID-19 do not decide it.",
)
