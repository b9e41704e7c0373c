addresses: tuple[int, int]
