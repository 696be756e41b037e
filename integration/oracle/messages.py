"""The OTLP messages of each signal, and a plain form of them for JSON."""

import dataclasses

from google.protobuf.descriptor import FieldDescriptor
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace

# No valid message of any kind: field number 0 does not exist.
NONSENSE = b"\x00\xff\xff\xff\xff not OTLP"


@dataclasses.dataclass(frozen=True)
class Signal:
    """The request and response types of one signal, and how it says what it rejected."""

    name: str
    request: type
    response: type
    rejected: str

    def answer(self, fault):
        response = self.response()
        if fault.kind == "partial":
            setattr(response.partial_success, self.rejected, int(fault.number))
            response.partial_success.error_message = "rejected on purpose"
        return response


LOGS = Signal("logs", logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse, "rejected_log_records")
METRICS = Signal(
    "metrics", metrics.ExportMetricsServiceRequest, metrics.ExportMetricsServiceResponse, "rejected_data_points"
)
TRACES = Signal("traces", trace.ExportTraceServiceRequest, trace.ExportTraceServiceResponse, "rejected_spans")

BY_HTTP_PATH = {"/v1/logs": LOGS, "/v1/metrics": METRICS, "/v1/traces": TRACES}
BY_GRPC_METHOD = {
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": LOGS,
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": METRICS,
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": TRACES,
}


def plain(message):
    """The fields that are set, by their JSON names. Unlike OTLP's JSON, 64-bit integers are numbers.

    An integer is exact in Python's JSON, whatever its size; bytes are hexadecimal, enums are numbers.
    """
    return {field.json_name: _field(field, value) for field, value in message.ListFields()}


def _field(field, value):
    if _is_repeated(field):
        return [_single(field, item) for item in value]
    return _single(field, value)


def _is_repeated(field):
    # Old protobuf releases know only the label, new ones only the property.
    known = getattr(field, "is_repeated", None)
    return field.label == FieldDescriptor.LABEL_REPEATED if known is None else known


def _single(field, value):
    if field.message_type is not None:
        return plain(value)
    if isinstance(value, bytes):
        return value.hex()
    return value
