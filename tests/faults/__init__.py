"""Faults on purpose: processes killed, disks filled, folders barred. `make test-faults` runs them all."""
