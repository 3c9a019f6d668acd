"""Sphinx: the pages of this folder and a reference that is made from the code.  `make docs` builds the site."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "_ext"))

import obsvc

project = "obsvc"
copyright = "the obsvc authors"
author = "the obsvc authors"
release = version = obsvc.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "cliff.sphinxext",
    "oslo_config.sphinxext",
    "oslo_policy.sphinxext",
    "reference",
]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"obsvc {release}"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Configuration and messages with placeholders in them are shown as they are.
suppress_warnings = ["misc.highlighting_failure"]
