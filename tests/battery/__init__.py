"""The battery: odd and bad CTs, each built from a seed, with the one outcome that it must have.

``python -m tests.battery`` shows the table of kinds, ``--peers`` runs other readers over the same inputs.
"""
