"""The stand-alone verifier: `python -m audit.verify`. No Django, no database."""
