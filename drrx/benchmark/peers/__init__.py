"""The projectors that take part, one file each; a new one joins with a file and a line here."""

from drrx.benchmark.peers import diffdrr, floors, nanodrr, own, plastimatch, rtk, siddon_jacobs, variant, xcist
from drrx.benchmark.peers.peer import Peer

_MODULES = (own, variant, rtk, siddon_jacobs, plastimatch, xcist, nanodrr, diffdrr, floors)

#: All projectors by name, in the order of the table.
PEERS: dict[str, Peer] = {peer.name: peer for module in _MODULES for peer in module.PEERS}
