"""A deployment with more collections than the documentation shows at once."""

from sqlmodel import SQLModel

from persist import entity

for number in range(12):
    name = f"Shelf{number:02}"
    members = {
        "__annotations__": {"label": str},
        "__doc__": f"The books of shelf {number}.",
        "__module__": __name__,
    }
    globals()[name] = entity(f"shelves-{number:02}")(type(name, (SQLModel,), members))
