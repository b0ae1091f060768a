"""A witness that stands alone, for a host the portal's administrators do not run."""
