"""For every test: hypothesis sets no deadline for an example, since no test asserts a time."""
from hypothesis import settings

settings.register_profile("obsvc", deadline=None, print_blob=True)
settings.load_profile("obsvc")
