"""Questions to the log: filters, words, saved searches, and series over time."""
