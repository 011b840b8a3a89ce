"""Account: an entity with a unique field, whose commands refuse from inside or go
wrong."""

from typing import Annotated

from sqlmodel import Field, SQLModel

from persist import Refused, command, entity


@entity("accounts", schema_version=1)
class Account(SQLModel):
    """Money that belongs to someone."""

    owner: str = Field(min_length=1, max_length=80, unique=True)
    balance: int = Field(default=0, ge=0)

    @command
    def deposit(self, amount: Annotated[int, Field(gt=0)]) -> int:
        """Pay in."""
        self.balance += amount
        return self.balance

    @command
    def withdraw(self, amount: Annotated[int, Field(gt=0)]) -> int:
        """Pay out what is there."""
        if amount > self.balance:
            raise Refused(f"the balance is {self.balance}", code="insufficient-funds")
        self.balance -= amount
        return self.balance

    @command
    def overdraw(self) -> int:
        """Leave data behind that the schema refuses."""
        self.balance = -1
        return self.balance

    @command
    def explode(self) -> None:
        """Fail in a way nobody foresaw."""
        raise RuntimeError("the-inside-of-the-service")
