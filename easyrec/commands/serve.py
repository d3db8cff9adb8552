"""Serve bundles over HTTP, replay what a server was asked, or forget a user who asked.

easyrec serve -c serving.yaml
easyrec serve runs/my_shop/bundle -o port=9000
easyrec serve replay --log requests --bundle runs/my_shop/bundle
easyrec serve forget --log requests --user-column user_id --value 4711
easyrec serve announce --to redis://host:6379/0 --bundle s3://models/ctr/tuesday
"""

from __future__ import annotations

DEFAULT = "run"
"""The tool of a command line that names none. Each tool is a file `_serve_<tool>.py` with `configure` and `run`."""
DEFAULT_TAKES_WORDS = True
"""A first word that is no tool is the default tool's: a bundle."""
