"""What customers want of the stock."""

from shop.stock import Stock, StockItem


class Order:
    """Articles and how many of each."""

    def __init__(self, lines: dict[str, int]) -> None:
        self.lines = lines

    def is_available(self, stock: Stock) -> bool:
        for name, wanted in self.lines.items():
            item = stock.find_item(name)
            if item is None or item.quantity < wanted:
                return False
        return True

    def take_from(self, stock: Stock) -> list[StockItem]:
        taken = []
        for name, wanted in self.lines.items():
            item = stock.find_item(name)
            if item is not None:
                item.quantity -= wanted
                taken.append(StockItem(item.name, item.unit_price, wanted))
        return taken
