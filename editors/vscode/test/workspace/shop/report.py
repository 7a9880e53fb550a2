"""What the shop is worth, in words."""

from shop.stock import Stock


def format_price(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02} EUR"


def stock_report(stock: Stock) -> str:
    lines = []
    for item in stock.items:
        lines.append(f"{item.name}: {item.quantity} at {format_price(item.unit_price)}")
    lines.append(f"in all {format_price(stock.total_value())}")
    return "\n".join(lines)
