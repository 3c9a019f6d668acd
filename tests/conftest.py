"""For every test: hypothesis has no deadline for one example, since no test asserts a time and the machine is shared."""
from hypothesis import settings

settings.register_profile("obsvc", deadline=None, print_blob=True)
settings.load_profile("obsvc")
