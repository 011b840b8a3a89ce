"""This deployment of Persist."""
