"""nginx answering every request with the same 200 from memory: what HTTP itself costs on this machine, in C.

It sends the bytes of one right answer of ours, so both send as much; it neither reads the numbers nor checks them.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.peers.peer import Peer, Place

SETTINGS = """\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""

ANSWER = json.dumps(
    {
        "model_name": "model",
        "model_version": "1",
        "id": "0123456789abcdef",
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [1], "data": [0]},
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.9987538, 0.00124621]},
        ],
    },
    separators=(",", ":"),
)


def prepare(place: Place) -> list[str]:
    settings = place.folder / "nginx.conf"
    settings.write_text(SETTINGS.format(folder=place.folder, port=place.port, answer=ANSWER))
    program = next((path for path in ("/usr/sbin/nginx", "/usr/bin/nginx") if Path(path).exists()), "nginx")
    return [program, "-c", str(settings), "-p", str(place.folder)]


PEER = Peer(
    "nginx",
    "nginx",
    prepare,
    "one worker, access log off, fixed 200 from memory",
    goal=0.45,
    programs=("nginx",),
    judged=False,
)
