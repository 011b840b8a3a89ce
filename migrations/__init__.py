"""The migration plans of this deployment's typed entities, one module each."""
