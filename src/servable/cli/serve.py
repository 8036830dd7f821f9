"""`servable serve`: put models behind REST and gRPC until told to stop."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Annotated, Any

import typer

from servable.settings import load_settings, misspelt


def serve(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="A model file, a bundle folder or a Ref (name, name:3, name@best). None: all registered."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="The address to bind.", show_default="127.0.0.1")] = None,
    http_port: Annotated[int | None, typer.Option(help="REST; 0: any free port.", show_default="8080")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="gRPC; 0: any, -1: off.", show_default="8081")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that share the ports.", show_default="1")
    ] = None,
    config: Annotated[str | None, typer.Option(help="A TOML file of settings.")] = None,
    require_key: Annotated[bool | None, typer.Option("--require-key", help="Demand a key even on loopback.")] = None,
    insecure: Annotated[bool | None, typer.Option("--insecure", help="Bind other addresses without keys.")] = None,
    record_file: Annotated[str | None, typer.Option(help="Append each prediction to this file, as JSON lines.")] = None,
    log_format: Annotated[str | None, typer.Option(help="text or json.")] = None,
    home: Annotated[str | None, typer.Option(help="Where state lies.", show_default="~/.servable")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Announce the addresses as one line of JSON.")] = False,
) -> None:
    """Serve models over REST and gRPC.

    Example:  servable serve iris.onnx --http-port 8080
    """
    from servable.server.access.access import demand_safe_binding
    from servable.server.access.keys import Keys
    from servable.server.logs import set_up_logs
    from servable.server.supervisor.supervisor import run
    from servable.server.targets import declared, resolve

    settings = load_settings(
        {
            "host": host, "http_port": http_port, "grpc_port": grpc_port, "workers": workers, "config": config,
            "require_key": require_key, "insecure": insecure, "record_file": record_file, "log_format": log_format,
            "home": home,
        }
    )  # fmt: skip
    set_up_logs(settings)
    for told in misspelt(os.environ):
        logging.getLogger("servable").warning("%s", told)
    demand_safe_binding(settings, Keys(settings.home_path))
    chosen = list(targets or ())
    plan = resolve(settings, chosen)

    def announce(addresses: Any) -> None:
        names = sorted(plan.routes)
        if as_json:
            print(json.dumps({"http": addresses.http, "grpc": addresses.grpc, "models": names}), flush=True)
            return
        print(f"Serving {', '.join(names) or 'nothing yet'}", file=sys.stderr)
        for url in addresses.http:
            print(f"  REST   {url}    try it at {url}/docs", file=sys.stderr)
        if addresses.grpc:
            print(f"  gRPC   {addresses.grpc}", file=sys.stderr)
        print("  Ctrl-C stops, after finishing what was accepted", file=sys.stderr, flush=True)

    sys.exit(run(settings, lambda: resolve(settings, chosen), announce, declared=declared(settings, chosen)))
