"""A family of templates is a function of a Draw; a registry lists them in the order of the source."""


def registry():
    """(families, decorator): the decorator files a function under its name."""
    families = {}

    def add(function):
        families[function.__name__] = function
        return function
    return families, add


class Unlucky(Exception):
    """A draw that gives no good sample (a tie in rounding, an empty result); another serial number is drawn."""
