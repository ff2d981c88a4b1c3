"""Where trials run: here one after the other, on all GPUs of this host, as jobs of a cluster."""
