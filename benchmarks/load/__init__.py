"""Load generators: closed loop (wrk, h2load), closed loop with every answer judged (checked), open loop (open_loop)."""
