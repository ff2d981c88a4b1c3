"""Launchers: trials one after the other here, on all GPUs of this host, or on a cluster."""
