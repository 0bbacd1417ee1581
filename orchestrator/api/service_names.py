"""Names for services whose user gave none: "adjective_scientist", as Docker does, drawn from the service's id."""

from collections.abc import Container

_ADJECTIVES = (
    "agile", "blissful", "bold", "brave", "bright", "busy", "calm", "clever", "cool", "dazzling", "eager", "elated",
    "fervent", "focused", "friendly", "gallant", "gifted", "happy", "hopeful", "jolly", "keen", "kind", "laughing",
    "loving", "lucid", "merry", "modest", "nifty", "peaceful", "quirky", "serene", "sharp", "stoic", "sweet",
    "tender", "trusting", "upbeat", "vibrant", "wizardly", "zen",
)  # fmt: skip
_SCIENTISTS = (
    "babbage", "bohr", "boyd", "carson", "cori", "curie", "darwin", "dijkstra", "einstein", "euclid", "euler",
    "faraday", "fermat", "fermi", "feynman", "franklin", "galileo", "gauss", "germain", "goodall", "hamilton",
    "hawking", "hopper", "hypatia", "johnson", "kepler", "knuth", "lamport", "leavitt", "liskov", "lovelace",
    "meitner", "mendel", "newton", "noether", "pascal", "shannon", "tesla", "turing", "wiles",
)  # fmt: skip


def name_for(service_id: str, taken: Container[str]) -> str:
    """A name for the service of that base-36 id that is not `taken`."""
    number = int(service_id, 36)
    number, adjective = divmod(number, len(_ADJECTIVES))
    scientist = number % len(_SCIENTISTS)
    name = f"{_ADJECTIVES[adjective]}_{_SCIENTISTS[scientist]}"
    return name if name not in taken else f"{name}_{service_id[-5:]}"
