"""What the contract suite stands on: live servers, databases, and a client's view of a collection."""
