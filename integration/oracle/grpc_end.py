"""The gRPC end: any OTLP service, told apart by method name."""

from concurrent import futures

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.any_pb2 import Any
from google.rpc import error_details_pb2, status_pb2

import messages
import relay

# More than any test sends at once, so that requests that hang do not starve the others.
WORKERS = 64


def start(port, journal, switch, tls):
    server = grpc.server(
        futures.ThreadPoolExecutor(WORKERS),
        options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
    )
    # The server hides how a message was compressed, so a relay before it counts what came over the wire.
    address = "127.0.0.1:0"
    behind = server.add_secure_port(address, tls.of_grpc()) if tls else server.add_insecure_port(address)
    wire = relay.start(port, behind, switch)
    server.add_generic_rpc_handlers((_Services(journal, switch, wire),))
    server.start()
    _KEPT.append(server)
    return wire.port


# A server object that is dropped stops serving.
_KEPT = []


class _Services(grpc.GenericRpcHandler):
    def __init__(self, journal, switch, wire):
        self._journal = journal
        self._switch = switch
        self._wire = wire

    def service(self, call):
        signal = messages.BY_GRPC_METHOD.get(call.method)
        if signal is None:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda body, context: self._export(signal, body, context))

    def _export(self, signal, body, context):
        fault = self._switch.decide("grpc", signal.name, len(body))
        self._journal.write(
            {
                "signal": signal.name,
                "transport": "grpc",
                "headers": {key: _text(value) for key, value in context.invocation_metadata()},
                "encoding": None,
                "size": len(body),
                "wireTotal": self._wire.total,
                "fault": fault.kind,
                "message": messages.plain(signal.request.FromString(body)),
            }
        )
        self._switch.pause(fault)
        if fault.kind in ("cut-after", "garbage"):
            port = int(context.peer().rsplit(":", 1)[1])
            self._wire.cut(port, relay.GARBAGE if fault.kind == "garbage" else b"")
        if fault.kind == "unavailable":
            _abort(context, grpc.StatusCode.UNAVAILABLE, fault.number)
        if fault.kind == "throttled":
            _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, fault.number)
        if fault.kind == "too-large":
            text = f"CLIENT: Received message larger than max ({len(body)} vs. {int(fault.number)})"
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        if fault.kind == "reject":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "rejected on purpose")
        if fault.kind == "nonsense":
            return messages.NONSENSE
        return signal.answer(fault).SerializeToString()


def _text(value):
    return value.hex() if isinstance(value, bytes) else value


def _abort(context, code, seconds):
    text = f"{code.name.lower()} on purpose"
    if seconds:
        retry = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=round(seconds % 1 * 1e9), seconds=int(seconds)))
        detail = Any()
        detail.Pack(retry)
        status = status_pb2.Status(code=code.value[0], message=text, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, text)
