"""Duties: what one leader does for the whole cluster; the first is the sweep."""
