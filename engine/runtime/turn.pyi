class Turn:
    busy: bool
    failure: Exception | None
