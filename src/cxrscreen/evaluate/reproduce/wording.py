"""What the reproduced tables say beside their figures: what differs from the paper, what must not be concluded."""

ALWAYS_DIFFERS = (
    "The paper learned from 41,364 PadChest and 18,406 RSNA images, which are not in these data; here normal and other "
    "pneumonia images come from several smaller public collections, many of them reduced to 224 pixels, and bacterial "
    "and viral ones are almost all of children of one hospital.",
    "The paper names no optimiser, learning rate, batch size, length or rule for thresholds: those are this project's. "
    "Networks are smaller in input and trained far shorter than the paper's will have been.",
    "Stages 2 and 3 are the network that the recipe names, with its weights: the paper's is DenseNet-121, that of the "
    "recipe for two cores EfficientNet-Lite0.",
    "Stage 1 is that of the bundle; it, and the pooling and heat map that go with it, are not trained again here.",
)

NEVER_CONCLUDE = (
    "That anything here finds the disease: labels, hospitals and ages go together in these collections, and where no "
    "source holds both classes a figure can come from recognising the hospital alone.",
    "That the method is better or worse than the paper's because a figure is higher or lower: the images are others.",
    "That a figure holds at another hospital.",
)

CLINIC = (
    "The clinic is Cohen's collection of published cases, which were chosen for being typical: not a clinic. NTUH and "
    "TMUH are hospitals.",
    "The clinic's images with COVID-19 keep the parts of the base split; its few other images are split anew "
    "50 / 25 / 25, close to the paper's clinical sets (table 2). Stage 1 may therefore have learned from the lung "
    "masks, though never from labels, of some of the clinic's normal and other-pneumonia test images.",
    "Images of the open set whose patient is in the clinic's, or of which a copy is, are in neither training nor test.",
)

OPEN_CONFOUNDED = (
    "That stage 3 on the open set recognises COVID-19: there all COVID-19 images come from sources without other "
    "pneumonia, so that the name of the source alone separates the classes."
)

TABLE3_DIFFERS = (
    "Without stage 1 the whole radiograph goes in: nothing is cut off. The paper masks; here stage 1 masks and cuts "
    "out, so that the difference is that of both.",
)
TABLE3_CONCLUDE = (
    "That masks are useless because pooled figures hardly differ: outside the lungs are the marks by which sources are "
    "recognised, so that a higher pooled figure without masks may be worse.",
)

TABLE6_DIFFERS = (
    "NHIA's 3,375 images came from one national programme, and 91 % of them were other "
    "pneumonia; here the single source is the clinic, most of whose images are COVID-19, with a handful of other "
    "pneumonias in validation and test.",
    "The paper does not say which stage 3 it fine-tunes; here it is the one that has learned from the open set alone.",
)
TABLE6_CONCLUDE = ("That a specificity on so few images is known: read the intervals.",)

TABLE7_DIFFERS = (
    "COVID-Net's test set names its files; the RSNA ones are not in these data. Here as many images of each class are "
    "drawn at random, by patient, from Cohen's collection, NIH and the normal part of the COVID-19 Radiography "
    "Database (RSNA and NIH adults), and all others are learned from: a few thousand, not 13,594.",
    "A tenth of each class of COVID-Net's training set validates here; it had no validation set.",
    "Stage 3 is asked about every pneumonia of the test set, whatever stage 2 says of it.",
    "Images of the COVID-19 Radiography Database have no patient numbers: one of NIH may be in training and in test.",
    "Some test images may have been among those whose lung masks stage 1 learned from.",
)
TABLE7_CONCLUDE = (
    "That one system is better than another: 30/31 and 27/31 overlap widely, and the test images are others.",
    "That COVID-19 is recognised: in COVID-Net's split as here all COVID-19 images come from one source that gives "
    "hardly any of the others. The column within sources looks inside Cohen's collection alone.",
)

SWEEP_DIFFERS = (
    "The paper gives neither its lambda nor a comparison of several, and shows forgetting only in that the AUC of "
    "stage 2 on its open test images goes from 96.72 to 96.64 (tables 4 and 5), without an interval; its open set "
    "holds COVID-19 images. Here the start knows no COVID-19 of any hospital, and the new images are the first cases "
    "of one hospital and nothing else: what a hospital has when a disease begins.",
    "All fine-tunings start from one training and differ in their seed, which draws batches, variation and the cases: "
    "initial training is not part of what varies.",
    "After a fine-tuning the threshold is chosen on old validation images and new cases together, also for the new "
    "images alone, which had no old images to choose by: their sensitivity and specificity are flattered by that.",
)
SWEEP_CONCLUDE = (
    "That a lambda is best elsewhere: it was not chosen by these test images, and they cannot choose it.",
    "That old images which were not forgotten say anything of hospitals that are not among them.",
)

CURVE_DIFFERS = (
    "The paper has no learning curve. Stage 3 alone is fine-tuned, on the open set and the clinic's images, from a "
    "start that knows the COVID-19 images of the open set; stage 2 and so its heat maps stay those of the start.",
    "The number of cases counts patients who are learned from; as many again validate and test, always the same ones.",
)
CURVE_CONCLUDE = (
    "That so many cases are enough: the cases are typical ones, and other pneumonias of the clinic are learned from "
    "in full at every point.",
    "That stage 3 keeps a skill where its AUC on the open images stays: there the name of the source separates the "
    "classes.",
)

LEFT_OUT_DIFFERS = (
    "The paper has no such table: it is this project's question to the method.",
    "Left out means: neither learned from nor chosen by, nor any image of a patient of these sources. Stage 1 is that "
    "of the bundle, which has learned from lung masks, though never from labels, of some of these sources.",
    "All images of a source are measured, since none was learned from; and its test images alone, which can be "
    "compared with a training that has learned from the source's other images.",
    "Plain means: the whole radiograph without stage 1, images varied in shape alone and drawn without regard to their "
    "source, and a source's share of the classes left in the logits while training; all else is the same.",
)
LEFT_OUT_CONCLUDE = (
    "That the shipped bundle reaches these figures: it learned from all sources. This is how far its kind of training "
    "carries to a hospital it has never seen.",
    "That a loss is all shortcut: the sources differ in patients, ages and labelling too; and that none is a proof of "
    "the contrary, for sources may share a shortcut.",
    "That the measures against shortcuts help or harm a network trained to its end: they make the task harder, so that "
    "after so short a training it is farther from its end with them than without; and they were tried all together, so "
    "that nothing is said of a single one.",
    "That a sensitivity without a specificity, or the reverse, is a skill: a network that calls all images of a source "
    "alike reaches 100 % of one.",
)
