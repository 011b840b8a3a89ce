"""Clients that generators make of the OpenAPI document, and what is done with them."""
