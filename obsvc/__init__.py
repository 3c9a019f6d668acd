"""obsvc: a notification-driven observer service with leader election for OpenStack clouds."""

__version__ = "0.2.0"
