"""Entity types and workspaces as the database knows them."""
