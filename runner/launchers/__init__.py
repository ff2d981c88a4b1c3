"""Where a sweep's trials run, if not here: jobs of a cluster, a process for each GPU."""
