"""What `script/bench policy` is made of."""
