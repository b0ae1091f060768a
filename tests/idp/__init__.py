"""An identity provider for the demonstration and the tests: never for real people."""
