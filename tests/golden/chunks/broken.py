import os


def sound(path: str) -> bool:
    """This function is whole."""
    found = os.path.exists(path)
    return found and not os.path.islink(path)


def half_typed(path: str
    value = [1, 2,
    if value:
        return


def sound_again(left: int, right: int) -> int:
    total = left + right
    for number in range(total):
        total += number * left - right
    return total


class Sound:
    def method(self) -> str:
        return "still cut where it begins"
