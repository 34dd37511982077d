"""The data set that comes out: images, masks, annotations, tables, pages, manifest."""

from typing import TYPE_CHECKING

from drrx.lazy import import_on_use

if TYPE_CHECKING:
    from drrx.dataset.collect import collect_dataset
    from drrx.dataset.settings import CollectDatasetSettings

__all__ = ["CollectDatasetSettings", "collect_dataset"]

__getattr__ = import_on_use(
    __name__,
    {
        "CollectDatasetSettings": "settings",
        "collect_dataset": "collect",
    },
)
