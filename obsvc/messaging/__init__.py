"""Brokers: connection, topology, consumer, publisher with confirms, and the oslo wire format.

This package alone imports kombu.  What it raises is an :class:`~obsvc.exceptions.ObsvcError`:
:class:`~obsvc.exceptions.ConfigError` for a URL that can't be used, :class:`~obsvc.exceptions.Unavailable` for a
broker that can't be reached or was lost.
"""
from obsvc.messaging.connection import Broker, Tls
from obsvc.messaging.publisher import Publisher

__all__ = ["Broker", "Publisher", "Tls"]
