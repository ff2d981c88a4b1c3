"""Files on disk: one record for each trial and one manifest for each sweep."""
