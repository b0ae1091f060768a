"""How the API knows people and what it lets them do."""
