"""A whole request: JPEGs, transforms, copies, the network, and its answer."""
