"""Boxes, masks, contrast and visibility of nodules in a radiograph."""
