"""What lies in the shop, and how much of it."""

from dataclasses import dataclass


@dataclass
class StockItem:
    """One article, with its price in cents."""

    name: str
    unit_price: int
    quantity: int

    def total_price(self) -> int:
        return self.unit_price * self.quantity


class Stock:
    """All articles of one shop."""

    def __init__(self, items: list[StockItem]) -> None:
        self.items = items

    def find_item(self, name: str) -> StockItem | None:
        for item in self.items:
            if item.name == name:
                return item
        return None

    def total_quantity(self) -> int:
        total = 0
        for item in self.items:
            total += item.quantity
        return total

    def total_value(self) -> int:
        total = 0
        for item in self.items:
            total += item.total_price()
        return total
