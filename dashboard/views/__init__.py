"""One file a page: read, then chart, then draw."""
