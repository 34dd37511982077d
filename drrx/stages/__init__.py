"""The workflow's stages: each reads the files of a case, makes one call and writes what came out.

The single commands of ``drrx.cli`` do the same for files that a person names.
"""
