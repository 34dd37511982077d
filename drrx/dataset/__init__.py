"""The data set that comes out: images, masks, annotations, tables, pages, manifest."""
