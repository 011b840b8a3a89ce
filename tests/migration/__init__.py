"""Schema versions: plans, in-place migrations, evolution, stored versions."""
