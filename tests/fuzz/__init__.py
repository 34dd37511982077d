"""Damaged files for every reader: `python -m tests.fuzz` for hours, `tests/test_fuzz.py` for seconds.

Each target has small valid files (`seeds`), edits that know their format (`edits`, `dicom_edits`) and a law
(`targets`): the reader gives a valid result or a typed error, within 10 s and 2 GB, and repeats no text of the file.
"""
