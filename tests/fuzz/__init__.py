"""Generated requests and generated histories."""
