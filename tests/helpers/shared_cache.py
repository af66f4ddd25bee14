"""A cache that counts its entries; for processes that start fast, so without any framework."""

from keras_spp.util.json_cache import JsonCache

ENTRIES = 25


def counts(path):
    return JsonCache(path, "spp.Test", dict)


def add(path, key):
    """Adds an entry, which says how many there were before."""
    counts(path).update(lambda known: {**(known or {}), key: len(known or {})})
