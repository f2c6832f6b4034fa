"""The routes, a file a subject; each declares the role that it needs."""
