"""drrx: annotated, enhanced synthetic chest radiographs from chest CTs."""

__version__ = "0.1.0"
