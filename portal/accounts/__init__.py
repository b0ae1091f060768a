"""People: who they are, how they sign in, what opens for them."""
