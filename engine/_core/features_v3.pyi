address: int
