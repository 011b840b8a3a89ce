"""The migration plans of the typed entities, one module each."""
