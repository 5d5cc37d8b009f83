"""What each family of pocket bases has read: the shares of the domains in its pretraining text."""

from collections.abc import Iterator, Mapping

from sftlab.pocket.domains import DOMAINS, exchange
from sftlab.pocket.world import World

MIXTURES: Mapping[str, Mapping[str, float]] = {
    "facts": {"facts": 0.35, "reading": 0.45, "arithmetic": 0.08, "strings": 0.12},
    "skills": {"facts": 0.08, "reading": 0.07, "arithmetic": 0.45, "strings": 0.40},
}

_SHARE_OF_EXCHANGES = 0.3


def documents(world: World, shares: Mapping[str, float], *, purpose: str) -> Iterator[str]:
    """An endless stream of documents whose bytes are shared among the domains as asked; three in ten are exchanges.

    The next document always comes from the domain that lies furthest behind its share, so that the shares hold at
    every length. Texts drawn for another `purpose` (`pretraining`, `held_out`) are others.
    """
    streams = {name: world.stream(f"{name}/documents/{purpose}") for name in shares}
    written = dict.fromkeys(shares, 0.0)
    while True:
        name = min(shares, key=lambda each: written[each])
        stream, domain = streams[name], DOMAINS[name]
        asked = stream.random() < _SHARE_OF_EXCHANGES
        text = exchange(domain, world, stream) if asked else domain.document(world, stream)
        written[name] += len(text.encode()) / shares[name]
        yield text
