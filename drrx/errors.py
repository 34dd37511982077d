"""Errors that tell a user where, what was found, what is needed and what to do."""


class DrrxError(Exception):
    """Something a user can mend.

    Parameters
    ----------
    where
        The file, row, option or case in which it was found.
    found
        What was found there.
    needed
        What is needed instead.
    hint
        What to do about it.
    """

    def __init__(self, *, where: str, found: str, needed: str, hint: str) -> None:
        self.where, self.found, self.needed, self.hint = where, found, needed, hint
        super().__init__(f"{where}: found {found}; needed {needed}. {hint}")


class CaseError(DrrxError):
    """A case that does not go on; the other cases do.

    ``code`` is a stable upper-case word (``NO_LUNGS``, ``SLICE_GAP``, ...) for tables and filters.
    """

    def __init__(self, code: str, *, where: str, found: str, needed: str, hint: str) -> None:
        self.code = code
        super().__init__(where=where, found=found, needed=needed, hint=hint)


class CaseRefused(CaseError):
    """A case whose data cannot be used."""

    def within(self, where: str) -> "CaseRefused":
        """Return the same refusal said of ``where``, unless it is said of something there already."""
        if self.where.startswith(where):
            return self
        return CaseRefused(self.code, where=where, found=self.found, needed=self.needed, hint=self.hint)


class CaseFailed(CaseError):
    """A case that could not be done for no fault of its data: the next run tries it again."""
