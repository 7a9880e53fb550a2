"""What a customer pays."""

from shop.stock import Stock


def price_of(stock: Stock, name: str) -> int:
    item = stock.find_item(name)
