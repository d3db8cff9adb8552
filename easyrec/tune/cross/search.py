"""The stages of a search, in their order."""

from __future__ import annotations

from easyrec.tune.cross.aggregating import Aggregating
from easyrec.tune.cross.beam import Stopped
from easyrec.tune.cross.crossing import Crossing
from easyrec.tune.cross.looking_ahead import LookingAhead
from easyrec.tune.cross.resizing import Resizing
from easyrec.tune.cross.session import Session
from easyrec.tune.cross.singles import Singles


def search(session: Session) -> None:
    """Search features; ends early where the time is over, or a signal came."""
    for stage in (LookingAhead, Singles, Crossing, Aggregating, Resizing):
        try:
            stage(session).run()
        except Stopped:
            if session.over:
                break
        session.told()
    session.told()
