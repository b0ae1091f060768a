"""How long the log keeps what: holds, people who are forgotten, pruning."""
