"""What may be told of a scanner: words of a fixed vocabulary, never free text of a header.

Manufacturer, model and kernel are typed by people and programs; a name or a hospital may stand in them. They leave the
reader only as words that are listed here, or as ``other``.
"""

import re

OTHER = "other"
MODALITIES = frozenset(
    ("CT", "MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "SC", "OT", "SR", "SEG", "PR", "KO", "REG", "DOC",
     "ES", "RTSTRUCT", "RTDOSE", "RTPLAN", "RTIMAGE", "ECG", "XC")
)  # fmt: skip
PATIENT_POSITIONS = frozenset(["HFS", "FFS", "HFP", "FFP", "HFDR", "HFDL", "FFDR", "FFDL"])
# Word that is told: words that a header holds, in small letters.
MANUFACTURERS = {
    "GE": ("ge ", "general electric"), "Siemens": ("siemens",), "Philips": ("philips", "marconi", "picker"),
    "Canon": ("canon", "toshiba"), "Hitachi": ("hitachi",), "United Imaging": ("united imaging", "uih"),
    "Neusoft": ("neusoft",), "Fujifilm": ("fuji",), "Samsung": ("samsung", "neurologica"),
}  # fmt: skip
MODELS = (
    "LightSpeed", "BrightSpeed", "HiSpeed", "ProSpeed", "Discovery", "Optima", "Revolution", "SOMATOM", "Sensation",
    "Definition", "Emotion", "Force", "Drive", "Edge", "Perspective", "Spirit", "Volume Zoom", "Biograph", "NAEOTOM",
    "Brilliance", "Ingenuity", "iCT", "IQon", "Incisive", "Spectral CT", "Mx8000", "Gemini", "Aquilion", "Asteion",
    "Activion", "Supria", "Scenaria", "Eclos", "uCT", "NeuViz",
)  # fmt: skip
# GE and old Philips name kernels by words or letters, Siemens by letter, hardness and options, Canon by FC and number.
# Kernels for bone, lung and edges are sharp; Siemens' are so from about 60 on (vendors' manuals).
_SOFT_WORDS = frozenset(["SOFT", "STANDARD", "STND", "SMOOTH", "DETAIL", "CHEST", "A", "B", "BODY"])
_SHARP_WORDS = frozenset(("BONE", "BONEPLUS", "LUNG", "EDGE", "ULTRA", "C", "D", "E", "L", "YB", "YC", "YD"))
_SIEMENS = re.compile(r"(?:AA|AB|AH|[ABHITUbBqQ][a-z]{0,2})(\d{2})[a-z]?")
_CANON = re.compile(r"FC(\d{2})(?:-H)?")


def name_modality(text: str) -> str:
    """Return the modality, or ``other`` for a word that DICOM does not know as one; empty stays empty."""
    return text if text in MODALITIES or not text else OTHER


def name_patient_position(text: str) -> str:
    """Return the patient position of PS3.3 C.7.3.1.1.2, or nothing."""
    return text if text in PATIENT_POSITIONS else ""


def name_manufacturer(text: str) -> str:
    """Return the manufacturer's word of this list, or ``other``; empty stays empty."""
    small = f"{text.lower()} "
    found = (name for name, words in MANUFACTURERS.items() if any(word in small for word in words))
    return next(found, OTHER if text else "")


def name_model(text: str) -> str:
    """Return the scanner family, or ``other``; empty stays empty."""
    small = text.lower()
    return next((model for model in MODELS if model.lower() in small), OTHER if text else "")


def name_kernel(text: str) -> str:
    """Return the kernel as the header spells it where it is a known one, else ``other``; empty stays empty."""
    first = _first(text)
    return first if not text or _hardness(first) is not None else OTHER


def is_soft_kernel(text: str) -> bool | None:
    """Return whether a kernel is made for soft tissue; None where its name does not tell."""
    return _hardness(_first(text))


def _first(text: str) -> str:
    # Newer Siemens kernels have two values: the kernel and the strength of its iterative reconstruction.
    return text.strip("[]' ").replace("'", "").split("\\")[0].split(",")[0].strip()


def _hardness(kernel: str) -> bool | None:
    word = kernel.upper()
    if word in _SOFT_WORDS or word in _SHARP_WORDS:
        return word in _SOFT_WORDS
    if match := _CANON.fullmatch(word):
        return not 30 <= int(match[1]) <= 59 and not 80 <= int(match[1]) <= 89
    if match := _SIEMENS.fullmatch(kernel):
        return int(match[1]) < 60
    return None
