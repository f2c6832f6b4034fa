"""What the COMiT-Net tables say beside their figures."""

from collections.abc import Mapping

SYSTEM = "comit-net"

VARIANTS = {
    "densenet121": "DenseNet-121",
    "mobilenetv2": "MobileNetV2",
    "resnet18": "ResNet-18",
    "vgg19": "VGG-19",
    "unet": "U-Net",
    "segnet": "SegNet",
    "mask-rcnn": "Mask R-CNN",
    "forest": "COMiT embedding + random forest",
    "svm-sigmoid": "COMiT embedding + SVM, sigmoid",
    "svm-rbf": "COMiT embedding + SVM, Gaussian = RBF",
    "1234": "COMiT-Net",
}

SOURCES = {
    "bimcv-positive": "BIMCV-COVID19+ (bimcv-positive)",
    "armiro": "Armiro's collection (armiro)",
    "hannover": "ML-workgroup, Hannover (hannover)",
}
"""Sources that the paper measures apart, as it names them."""

HEAD = (
    "Figure",
    "Printed",
    "Recomputed from counts",
    "Ours, pooled",
    "Ours, within sources",
    "Ours, never trained on",
)
"""Of the grids that set our figures beside the paper's."""

INTERVALS = (
    "Figures in percent. In brackets: 95 % intervals; ours are by patient (bootstrap; of rates Wilson with the sample "
    "size adjusted for patients), the paper's are Wilson's. Pooled and within-source figures read their threshold off "
    "the measured images, as the paper's do. Within sources: the mean over the sources with at least 5 images of "
    "either class. Never trained on: the same for sources that the training did without. Differences are paired: the "
    "same images on the same resamples. Several trainings are averaged; what another seed would change is in no "
    "interval but those of Fig. 8."
)
REGION_INTERVALS = (
    "In brackets: 95 % intervals by patient (bootstrap). Means over images, and over trainings where there are "
    "several; an image without a called pixel has the precision 0. Measured at the side of the network's input."
)
OTHER_DIFFERS = (
    "The paper's other disease is every finding but COVID-19. Here it is pneumonia of another cause: images of a "
    "nodule or another finding are not asked about it, so that its accuracy is of other images.",
)
DIFFERS = (
    "The images are others: the paper's healthy and other diseased images are those of ChestX-ray14 and CheXpert, its "
    "COVID-19 images come from seven collections of positives, its test part has 125 of them against 6174 others. Here "
    "parts share no patient and no known copy.",
    "Networks, their initial weights, lengths and augmentation are those of the recipes. The paper begins its encoder "
    "and the four classifiers from pre-trained weights, those of ImageNet for the classifiers, and says of U-Net, "
    "SegNet and Mask R-CNN no beginning; where a recipe says none for one network and imagenet for another, the "
    "beginning is part of their difference.",
    "The best validation score of a training is kept; the paper has a fixed number of epochs. All recipes for two "
    "cores have AdamW with one cycle, averaged weights, and draws by source and class, and U-Net and SegNet soft Dice "
    "beside cross-entropy; those at the paper's sizes have Adam, or SGD for Mask R-CNN, and cross-entropy alone, as "
    "the paper.",
    "Every image is asked as it is. A bundle whose recipe says mirrored averages it with its mirror image, so that its "
    "own figures are others.",
    "Copies of COVID-19 images that are turned or shifted have black edges. Where a recipe varies no other image, as "
    "the paper's does not, only COVID-19 images have such edges, and a network can learn them for the disease.",
)
CLASSIFIERS_DIFFER = (
    "The four classifiers learn task 4's question alone, and so from fewer images than COMiT-Net: those without a "
    "label of it teach them nothing (in the shipped recipes all of Kermany, whose outlines alone are learned), and "
    "their batches are not drawn evenly over whether the diseased region is known.",
)
TASKS_DIFFER = (
    "Combinations of tasks differ in images too, not in tasks alone: an image from which nothing is asked is not "
    "learned from. In the shipped recipes Kermany teaches outlines alone and leaves with task 1, and without task 2 "
    "batches are no longer drawn evenly over whether the diseased region is known, where the recipe draws so. A "
    "difference between combinations is that of both.",
)
SPECIFICITY_UNNAMED = (
    "The paper's Table 5 names no specificity. All four tasks have there what they have in Table 4 at 90 %, so that "
    "all its figures stand beside ours at 90 %.",
)
NOT_CONCLUDED = (
    "That COVID-19 is recognised, from a pooled figure: most COVID-19 images and most others come from different "
    "sources, so that a network can call the source. Read the columns within sources and never trained on.",
    "That a method is better or worse than the paper's because a figure is higher or lower: the images are others.",
    "That one variant beats another where the interval of the difference holds 0; and where it does not, another seed "
    "can still change it.",
)
FEW_NEGATIVES = (
    "Anything fine from a sensitivity at 99 % specificity on fewer than 100 negative images: it is then the "
    "sensitivity at 100 %, which one image decides."
)
BOXES_PRINTED = (
    "The paper's lung masks are two solid boxes for each image (section 3.2): its 0.82 to 0.85 cannot be compared with "
    "overlaps of outlines. Beside them stands the overlap of the boxes around our lungs with those around the "
    "reference lungs, which is nearer to it.",
)
SENSITIVITY_ALONE = (
    "The paper prints the share of disease pixels that is found and not what is called falsely; calling every pixel "
    "would score 1.00.",
)
DISEASE_DIFFERS = (
    "In the data pack references are boxes that readers of NIH drew around a finding: a box holds healthy lung too, "
    "which no exact mask would call. The paper adds masks of 200 COVID-19 images that were never released with it.",
    "Boxes are few, so those of the validation part are measured with those of the test part. COMiT-Net's epoch is "
    "not chosen by them; the comparators' is, which flatters these.",
    "Where the recipe's loss.region_weight is not 1, COMiT-Net weighs the places within the region by it, and so calls "
    "more places than U-Net and SegNet, which do not: what is found and how precisely at 0.5 follows that weight. A "
    "recipe's region_recall, which moves the score of a bundle by validation images, moves none here.",
)
DISEASE_CONCLUDED = (
    "That a disease is outlined: in the data pack references are few, are boxes, and are of one source and of images "
    "whose finding was already clear enough for a box. None of COVID-19 is there.",
)
LUNGS_CONCLUDED = (
    "That diseased lungs are found as well as healthy ones: many masks are of healthy or nearly healthy lungs.",
    "That a millimetre is right: images are reduced to the side of the network's input.",
)
EXTERNAL_DIFFERS = (
    "The paper measures positives alone on other sources, so that no specificity of them exists; it carries over the "
    "threshold of its own test part, we that of the validation part.",
    "The paper's BIMCV-COVID19+ has hospital labels by tests around the image; `cxrscreen label-by-tests` applies its "
    "rule to tables of one's own.",
)
EXTERNAL_CONCLUDED = (
    "That a source of positives alone is read well because most of it is called: a network that calls everything from "
    "elsewhere does that too. Look at the specificity of sources of negatives in the same training.",
)
SPREAD_INTERVALS = (
    "Sensitivity at 99 % specificity in percent, pooled test part. The interval of a standard deviation is that of "
    "normal values (chi-squared) over the trainings; it says nothing of other images."
)
SPREAD_CONCLUDED = (
    "That the method with the smallest deviation is the most stable: over three trainings the interval of a deviation "
    "reaches from half of it to six times as much.",
)
EMBEDDING_INTERVALS = (
    "Shares in percent with 95 % intervals (Wilson, sample size adjusted for patients). An image's neighbour is the "
    "nearest of another patient, in the standardised embedding and not in the picture."
)
EMBEDDING_CONCLUDED = (
    "That classes are separable in the clinic because they lie apart in the picture: an embedding that separates "
    "sources looks the same. Compare the share of neighbours of the same source with that of the same class.",
)
HEAT_INTERVALS = (
    "Share of the Grad-CAM of the COVID-19 decision inside the lungs that COMiT-Net finds, in percent, with 95 % "
    "intervals by patient (bootstrap). One training each. An image whose map is empty in either training, or in which "
    "no lungs were found, is left out and counted: an empty map says that nothing speaks for COVID-19. Maps are means "
    "over the other test images of a label, on the network's square input; no image of a patient is shown. Maps over "
    "an image of one's own: `cxrscreen screen`."
)
HEAT_CONCLUDED = (
    "That a network looks at disease because its map lies in the lungs: lungs cover the middle of every image, where "
    "maps of coarse features lie anyhow.",
    "That the map of one image is as clear as a mean.",
)


def not_in_recipe(printed: Mapping[str, str]) -> tuple[str, ...]:
    """Say which of the paper's methods were not measured, so that they do not vanish without a word.

    Parameters
    ----------
    printed
        What the paper prints of each; may be empty.
    """
    if not printed:
        return ()
    named = ", ".join(VARIANTS[name] + (f" (printed {text})" if text else "") for name, text in printed.items())
    hint = " Mask R-CNN needs torchvision." if "mask-rcnn" in printed else ""
    return (f"Not measured, since the recipe does not name it: {named}.{hint}",)
