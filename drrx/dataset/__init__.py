"""The data set that comes out: images, masks, annotations, tables, pages, manifest."""

from drrx.dataset.collect import collect_dataset
from drrx.dataset.settings import CollectDatasetSettings

__all__ = ["CollectDatasetSettings", "collect_dataset"]
