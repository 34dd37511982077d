"""Times and errors of the projector beside other projectors, the machine's floors and closed forms, in one run."""
