"""Scenarios: what a stack is asked for and when it is interrupted, on real processes; reality compared with the goal.

``goals.py`` has the words in which goals are written, ``comparing.py`` compares a cloud with one, ``stage.py`` has the
deployment that many scenarios share and what a script may say.
"""
