"""Seeded choices of names, currencies and figures, so that every sample depends on its own identity and on nothing before it."""
import random

firms = """Alderbrook Applegarth Arlington Ashdown Barlow Bellweather Birchfield Brightwater Calder Castlemain Cedarvale Corbin Dalehurst
Dunmore Eastwick Elmstead Fairholm Farrow Fenwick Foxley Gatwood Glenmoor Granby Greyfell Hallam Harrowgate Hartwell Hazelton Highmoor
Ironbridge Kestrel Kingsley Lakeland Larkspur Linden Lockwood Maplewood Marlowe Merriton Millbrook Northgate Norwood Oakhurst Orchard
Pemberton Pinecrest Quarry Ravenscar Redfern Ridgeway Rosedale Sandford Selwyn Shelby Silverton Stanmore Stonegate Summerhill Tamworth
Thornbury Tilbury Underwood Vantage Wakefield Westbrook Whitmore Willowby Winslow Woodrow Yarrow""".split()
forms = ["Ltd", "GmbH", "Inc", "AG", "SA", "plc", "Holdings", "Group", "BV", "Partners"]
trades = """bakery brewery printer carrier retailer dairy clinic hotel vineyard sawmill foundry nursery publisher shipyard cannery
laundry pharmacy tannery caterer mill quarry garage cinema airline winery warehouse gym farm studio workshop""".split()
people = """Aisha Bruno Carla Dmitri Elif Farid Greta Hiro Ines Jonas Kofi Lena Mateo Nadia Oskar Priya Quentin Rosa Sven Tala Umar
Vera Wanda Xenia Yusuf Zoe Anders Bianca Cyril Dora Emil Fiona Gustav Helga Imran Judit Kaspar Lucia Milan Noor""".split()
assets = """machine lathe oven press van truck crane server boiler pump loom kiln forklift generator conveyor scanner mixer tractor
compressor turbine dryer furnace robot freezer harvester excavator ferry bus""".split()
goods = """lamps chairs bicycles kettles tents jackets rucksacks candles speakers helmets blankets notebooks mugs clocks boots tables
umbrellas skis drills puzzles violins mirrors shelves hammocks telescopes toasters gloves carpets""".split()
cities = "Bergen Cadiz Delft Exeter Fulda Ghent Horsens Imola Jena Krakow Lyon Malmo Nantes Olomouc Porto Quimper Riga Siena Turku Utrecht".split()
currencies = [("$", ""), ("€", ""), ("£", ""), ("EUR ", ""), ("USD ", ""), ("CHF ", ""), ("SEK ", ""), ("", " euros"), ("", " dollars"),
              ("", " pounds"), ("NOK ", ""), ("CAD ", ""), ("AUD ", ""), ("", " francs"), ("", " crowns")]


def number(value, decimals=None):
    """Digits grouped by thousands; without `decimals`, as many as the figure has (at most ten)."""
    if decimals is None:
        text = f"{value:,.10f}".rstrip("0").rstrip(".")
        return "0" if text in ("-0", "") else text
    text = f"{value:,.{decimals}f}"
    return text[1:] if text[0] == "-" and not text.strip("-0.,") else text


def percent(value, decimals=None):
    """A fraction written in percent: 0.085 → 8.5%."""
    return number(round(value * 100, 9), decimals) + "%"


class Draw:
    """Random choices of one sample: its seed names the run, the kind and the sample's serial number."""

    def __init__(self, *identity):
        self.rng = random.Random("/".join(map(str, identity)))
        self.front, self.back = self.rng.choice(currencies)

    def pick(self, *options):
        return self.rng.choice(options)

    def among(self, options, count):
        return self.rng.sample(list(options), count)

    def chance(self, share):
        return self.rng.random() < share

    def whole(self, low, high, step=1):
        """A multiple of step between low and high."""
        return self.rng.randrange(low // step, high // step + 1) * step

    def money(self, low, high):
        """A figure with two or three leading digits, as people choose them."""
        digits = len(str(low))
        step = max(1, 10 ** (digits - 2))
        return self.whole(low, high, step * self.pick(1, 1, 5) if high > 20 * step else step)

    def rate(self, low, high, step=0.5):
        """A fraction; low, high and step in percent."""
        count = round((high - low) / step)
        return round((low + step * self.rng.randint(0, count)) / 100, 8)

    def decimal(self, low, high, places=2):
        return round(self.rng.uniform(low, high), places)

    def cash(self, value, decimals=None):
        if decimals is None and value != int(value):
            decimals = 2
        sign = "-" if value < 0 else ""
        return sign + self.front + number(abs(value), decimals) + self.back

    def company(self):
        name = self.rng.choice(firms)
        return self.pick(f"{name} {self.rng.choice(forms)}", f"{name} {self.rng.choice(forms)}", f"the {self.rng.choice(trades)} {name}",
                         f"{name} {self.rng.choice(trades).capitalize()}")

    def person(self):
        return self.rng.choice(people)

    def asset(self):
        return self.rng.choice(assets)

    def good(self):
        return self.rng.choice(goods)

    def city(self):
        return self.rng.choice(cities)


def capital(text):
    """First letter raised; the rest stays."""
    return text[:1].upper() + text[1:]
