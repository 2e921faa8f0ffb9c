"""Device kind `rpc`: boards behind TVM's RPC servers."""

from splitkit.devices.rpc.device import RpcDevice

__all__ = ["RpcDevice"]
