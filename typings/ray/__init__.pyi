# The part of Ray that this project uses: type checkers do without Ray, which takes 500 MB.

from typing import Any

from ray import data as data

def init(
    *,
    num_cpus: int | None = ...,
    include_dashboard: bool | None = ...,
    _node_ip_address: str | None = ...,
    logging_level: int = ...,
    log_to_driver: bool = ...,
    _temp_dir: str | None = ...,
    runtime_env: dict[str, Any] | None = ...,
) -> object: ...
def shutdown() -> None: ...
