"""What the COVID-CXNet tables say beside their figures."""

SYSTEM = "covid-cxnet"

INTERVALS = (
    "All figures are percentages; in brackets 95 % intervals by patient (bootstrap; accuracies and rates by Wilson "
    "with the sample size adjusted for patients), of the paper's matrices by image. The class of greatest probability "
    "is called, as in the paper: no threshold is chosen. One training each, so what another seed would change is in no "
    "interval; table 5 is made of ten seeds. Within sources: sources with at least 5 images of two classes, named one "
    "by one; where the test images are too few, the validation images count too, which chose the epoch. Left out: all "
    "images of a source by a training that saw none of its images or patients. All called alike: the accuracy of "
    "calling every image the commonest class, and the F1 of calling every image COVID-19. At the paper's mix: from our "
    "rates within each class, and the shares of the classes among the paper's images. An image without a patient "
    "number counts as a patient of its own."
)
PAIRED = "Differences are paired: the same images on the same resamples of patients."

DIFFERS = (
    "The images are others: COVID-19 of Cohen, Hannover and Armiro, normal ones of NIH, Shenzhen and Montgomery, other "
    "pneumonia of NIH and Cohen, where the recipe does not name more; a few hundred of each class, where the paper has "
    "up to 5,000 normal ones. Parts share no known patient and no known copy, and the test images choose nothing; the "
    "paper splits at random and tests on its validation images.",
    "The networks are the recipe's: that for two cores has EfficientNet-Lite0 at 224 pixels in place of CheXNet's "
    "DenseNet-121 at 320, pre-trained on the findings of the images at hand, since CheXNet's weights are no package, "
    "and trainings far shorter than the paper's. That at the paper's sizes begins from a published CheXNet, which has "
    "learned from NIH's images.",
    "Lungs are found by the U-Net of the cascade's bundle, which has learned from lung masks, though never from "
    "labels, of Shenzhen, Montgomery and others.",
)
NOT_CONCLUDED = (
    "That a disease is recognised because pooled figures are high: COVID-19 and normal images come from different "
    "hospitals, so that recognising the hospital is enough. Read the figures within sources and of sources left out.",
    "That the method is better or worse than the paper's because a figure is higher or lower: the images are others.",
    "That a figure holds at another hospital.",
    "That an accuracy or an F1 is high before it is beside that of calling every image alike: most images here are of "
    "COVID-19.",
    "That no patient is in two parts: for images without a patient number (Armiro's, for instance) nobody can know.",
)
FEW_NORMAL = (
    "That the specificity within the source that holds every class is known: Cohen's collection has a handful of "
    "normal images. Read the intervals."
)

CHILDREN_DIFFERS = (
    "Version 1 learns normal chests from children alone (Kermany, and the few of the other sources), and COVID-19 from "
    "adults; all are tested on the same adults. The paper's 60 external images are not published as a list.",
    "The paper's two versions differ in more than age, so version 1 is trained here with the normal images of adults "
    "as well, which the paper lacks.",
)
CHILDREN_ALONE_DIFFER = (
    "These two trainings differ in nothing but their normal images: in age, and with it in hospital and number, since "
    "nearly all children are of one hospital."
)
VERSIONS_DIFFER = (
    "They differ in the age of their normal images, in channels (one and three) and in balance (even batches and a "
    "weighted loss) at once, so this difference is no measure of age."
)
CHILDREN_CONCLUDE = (
    "That the difference is one of age: nearly all of the children are of one hospital, of which the test has no "
    "image.",
    "That version 2 recognises COVID-19 because it does better: it has learned what the hospitals of the test's normal "
    "images look like, and version 1 of children has not; nor that it does better for any one of its differences.",
)

ROI_DIFFERS = (
    "The paper shows maps and no share. Here it is the share of the sum of Grad-CAM inside the lungs as they were "
    "found, of each image's true class, at the resolution of the feature maps (7 x 7 of 224 pixels), beside the share "
    "that a map has which is the same everywhere: a region cut to the lungs raises both. How far a map lies above an "
    "even one is told as a difference; as a ratio to the even map, and as a ratio of odds, it can move otherwise, so "
    "both stand beside it.",
    "All rows, those of the box and of the lungs alone too, begin from the same weights, which learned from whole "
    "radiographs: what was learned outside the lungs is in them.",
)
ROI_CONCLUDE = (
    "That the network looks at disease where its map lies in the lungs: with the mask there is nothing else to look "
    "at, and the outline of the mask is itself something to learn from.",
)

TEXT_DIFFERS = (
    "The paper shows two images. Here marks are burned into every test image (a letter at the top left, a word at the "
    "top right), and what looks like a mark near the border is painted over; lungs are found again in the edited "
    "image.",
)
TEXT_CONCLUDE = (
    "That no text moves the network because these marks do not: what was never beside the disease in the training "
    "images could not be learned, and marks over the lungs stay whatever the region.",
    "That painting over marks is harmless: some are missed, and some bone near the border is painted over.",
)

IMAGENET_DIFFERS = (
    "The paper gives no figures for its section 5.2, only a curve of DenseNet-121 that does not learn with frozen "
    "features and overfits otherwise, trained with the normal images of children.",
    "The paper replaces the last layer alone; here all rows keep the ten nodes, dropout and label smoothing of "
    "COVID-CXNet, so that the start alone differs between the two rows that are fine-tuned. The frozen row takes as "
    "many steps but those of the head before, at the rate with which the recipe trains a head alone, if it does.",
)

CURVE_DIFFERS = (
    "The paper's curves (Figs. 11 and 12) are of the loss of its base model with 300, 450 and 600 images; the table "
    "shows the accuracy of the main network after the same number of steps on a share of the images, the same of each "
    "class.",
)

SEEDS_DIFFERS = (
    "The paper does not say whether its ten trainings differ in the split as well. Here they share the split and the "
    "first weights of the backbone and differ in initial head, batches and variation; by the recipe for two cores they "
    "are shorter than those of the rows above.",
)

LEFT_OUT_DIFFERS = (
    "The paper has no such table: it is this project's question to the method. Left out means: neither learned from "
    "nor chosen by, nor seen in pre-training, nor any image of a patient of these sources.",
    "The image to whose histogram the three-class version matches all others is of NIH, also where NIH is left out.",
)
LEFT_OUT_CONCLUDE = (
    "That a sensitivity without a specificity, or the reverse, is a skill: a network that calls all images of a source "
    "alike reaches 100 % of one.",
    "That a loss is all shortcut: sources differ in patients and labelling too.",
)
