"""What a data set of drrx says about itself, to people and to machines alike."""

import drrx

TITLE = "drrx: synthetic chest radiographs with lung nodules"
SUMMARY = (
    "Synthetic chest radiographs made from chest CTs. Nodules are inserted in a CT, projected by cone-beam ray casting "
    "and restored by a diffusion model to look like films. Every nodule has an exact box, mask, 3-D position and "
    "measured visibility; every image with nodules has its nodule-free twin, which differs by the nodules only."
)
MAKING = (
    "No patient was exposed for these images. Each is computed from a chest CT: nodules drawn from a seed are rendered "
    "with the blur of the scan on a fine grid, CT and nodules are projected with one geometry; beam, scatter, noise "
    "and display curve are simulated, and a diffusion model restores the look of a film."
)
ANNOTATION = (
    "No reader drew anything. Boxes and masks are the projection of each nodule's own 3-D model; contrast is the "
    "difference to the twin. Visibility classes are those of a model observer that knows where to look."
)
USES = (
    "training and testing detectors of lung nodules on chest radiographs, and weighing by size, type, zone and "
    "visibility what they miss",
    "measuring with twins and shams whether a detector sees nodules or traces of their insertion",
    "measuring what image processing does to nodules of known contrast",
)
NOT_FOR = (
    "diagnosis, or any decision about a patient",
    "estimating how often nodules occur, or of which kind: both are settings",
    "telling how well radiologists see a nodule: the visibility classes have not been compared with readers",
)
LIMITS = (
    "A CT is taken lying down, with raised arms and full breath; the images show that patient, not one who stands.",
    "Inserted nodules do not push or pull on vessels, pleura or fissures, and nothing else tells of a disease.",
    "Lobes and zones come from image analysis without learning; lobes are planes in place of fissures.",
    "The restorer was trained on frontal films; lateral images are less well founded. It changes the contrast of a "
    "nodule by a factor that stands in its record (contrast_transfer_ratio).",
    "The visibility class is a proxy: a matched filter against the anatomy around, not a reader.",
    "Real nodules that nobody marked in a CT are in its images without annotation, in twins and positives alike.",
)
BIASES = (
    "Sizes, types, margins and places of inserted nodules follow the settings, not their frequency in patients.",
    "Patients, scanners and diseases are those of the source CTs; CTs that could not be used are left out.",
)
PRIVACY = (
    "Images are computed from CTs of patients and show their anatomy. No name, date or identifier of a CT is carried "
    "over; the names of cases are those of the cohort table.",
)
CITATION = (
    "@software{drrx, author = {{The drrx authors}}, title = {drrx: annotated, enhanced synthetic chest radiographs "
    f"with lung nodules, from chest CTs}}, version = {{{drrx.__version__}}}}}"
)
