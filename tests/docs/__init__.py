"""Documents that are made from the code, or that the code must agree with."""
