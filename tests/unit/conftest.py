"""Unit tests assert no time: an example of hypothesis that was slow on a busy machine is no failure."""
from hypothesis import settings

settings.register_profile("obsvc", deadline=None)
settings.load_profile("obsvc")
