"""Readers of archives: folders, manifests, tar and zip files, here or in a store of objects."""
