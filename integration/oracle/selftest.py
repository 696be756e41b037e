"""Checks the oracle itself with the official stubs: `python selftest.py`, exit code 0 when all is as said."""

import gzip
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc

HERE = pathlib.Path(__file__).resolve().parent
BIG = 2**63 - 1


class Oracle:
    """A receiver of its own for the checks, with what it has written down."""

    def __init__(self, folder):
        self.out = pathlib.Path(folder) / "requests.jsonl"
        command = [sys.executable, HERE / "otlp_receiver.py", "--out", self.out]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.ports = json.loads(self.process.stdout.readline())
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.ports['grpc']}")

    def fault(self, spec):
        url = f"http://127.0.0.1:{self.ports['control']}/control?fault={spec}"
        urllib.request.urlopen(urllib.request.Request(url, method="POST")).close()

    def requests(self):
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def last(self):
        return self.requests()[-1]

    def send_logs(self, timeout=5, **options):
        return logs_grpc.LogsServiceStub(self.channel).Export(log_request(), timeout=timeout, **options)

    def post(self, path, body, headers=None, timeout=5):
        url = f"http://127.0.0.1:{self.ports['http']}{path}"
        headers = {"Content-Type": "application/x-protobuf", **(headers or {})}
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=timeout) as response:
            return response.read()

    def stop(self):
        self.channel.close()
        self.process.terminate()
        assert self.process.wait(10) == 0, "SIGTERM is a clean stop"


def log_request():
    request = logs.ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    attribute = resource.resource.attributes.add(key="process.pid")
    attribute.value.int_value = BIG
    record = resource.scope_logs.add().log_records.add(time_unix_nano=BIG, severity_number=9, event_name="a.b")
    record.body.string_value = "x" * 2000
    return request


def metric_request():
    request = metrics.ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="bytes", unit="By")
    metric.sum.is_monotonic = True
    metric.sum.data_points.add(as_int=0, time_unix_nano=1)
    return request


def check_content(oracle):
    oracle.send_logs(metadata=(("api-key", "k"),))
    seen = oracle.last()
    resource = seen["message"]["resourceLogs"][0]
    record = resource["scopeLogs"][0]["logRecords"][0]
    assert (seen["signal"], seen["transport"], seen["headers"]["api-key"]) == ("logs", "grpc", "k"), seen
    assert resource["resource"]["attributes"] == [{"key": "process.pid", "value": {"intValue": BIG}}]
    assert (record["timeUnixNano"], record["severityNumber"], record["eventName"]) == (BIG, 9, "a.b")

    metrics_grpc.MetricsServiceStub(oracle.channel).Export(metric_request(), timeout=5)
    metric = oracle.last()["message"]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    assert metric["sum"]["dataPoints"] == [{"asInt": 0, "timeUnixNano": 1}], "a zero that was sent is kept"


def check_encodings(oracle):
    plain = log_request().SerializeToString()
    wire = oracle.last()["wireTotal"]
    oracle.send_logs(compression=grpc.Compression.Gzip)
    assert oracle.last()["size"] == len(plain) > 2000 > oracle.last()["wireTotal"] - wire

    answer = oracle.post("/v1/logs", gzip.compress(plain), {"Content-Encoding": "gzip"})
    logs.ExportLogsServiceResponse.FromString(answer)
    assert (oracle.last()["encoding"], oracle.last()["size"]) == ("gzip", len(plain))
    by_http = oracle.last()["message"]
    oracle.post("/v1/metrics", b'{"resourceMetrics":[]}', {"Content-Type": "application/json"})
    assert (oracle.last()["signal"], oracle.last()["encoding"]) == ("metrics", None)
    oracle.send_logs()
    assert oracle.last()["message"] == by_http, "both ends write the same"


def grpc_failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call should fail")


def http_failure(call):
    try:
        call()
    except urllib.error.HTTPError as error:
        return error
    raise AssertionError("the call should fail")


def check_faults(oracle):
    body = log_request().SerializeToString()

    def post():
        return oracle.post("/v1/logs", body, timeout=1)

    oracle.fault("unavailable:7")
    error = grpc_failure(oracle.send_logs)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert "grpc-status-details-bin" in {key for key, _ in error.trailing_metadata()}
    error = http_failure(post)
    assert (error.code, error.headers["Retry-After"]) == (503, "7")

    oracle.fault("reject")
    assert grpc_failure(oracle.send_logs).code() == grpc.StatusCode.INVALID_ARGUMENT
    assert http_failure(post).code == 400

    oracle.fault("partial:3")
    assert oracle.send_logs().partial_success.rejected_log_records == 3
    assert logs.ExportLogsServiceResponse.FromString(post()).partial_success.rejected_log_records == 3

    oracle.fault("nonsense")
    assert grpc_failure(oracle.send_logs).code() == grpc.StatusCode.INTERNAL
    try:
        logs.ExportLogsServiceResponse.FromString(post())
        raise AssertionError("nonsense must not parse")
    except DecodeError:
        pass

    oracle.fault("fail-first:2")
    codes = [grpc_failure(oracle.send_logs).code(), http_failure(post).code]
    assert codes == [grpc.StatusCode.UNAVAILABLE, 503]
    oracle.send_logs()
    assert [request["fault"] for request in oracle.requests()[-3:]] == ["unavailable", "unavailable", "none"]

    oracle.fault("slow:0.5")
    before = time.monotonic()
    oracle.send_logs()
    post()
    assert time.monotonic() - before >= 1

    check_refusals_by_size_and_pace(oracle, post)
    check_broken_connections(oracle, post)
    oracle.fault("hang")
    assert grpc_failure(lambda: oracle.send_logs(timeout=0.5)).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    try:
        post()
        raise AssertionError("the call should time out")
    except TimeoutError:
        pass
    oracle.fault("none")
    oracle.send_logs()


def check_refusals_by_size_and_pace(oracle, post):
    oracle.fault("throttled:2")
    error = grpc_failure(oracle.send_logs)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" in {key for key, _ in error.trailing_metadata()}
    error = http_failure(post)
    assert (error.code, error.headers["Retry-After"]) == (429, "2")

    oracle.fault("too-large:2000")
    assert "larger than max" in grpc_failure(oracle.send_logs).details()
    assert http_failure(post).code == 413
    oracle.fault("too-large:9000")
    oracle.send_logs()
    assert (oracle.last()["fault"], post()) == ("none", b"")

    oracle.fault("first-1:reject")
    assert [grpc_failure(oracle.send_logs).code(), http_failure(post).code] == [grpc.StatusCode.INVALID_ARGUMENT, 400]
    oracle.send_logs()
    post()


def check_broken_connections(oracle, post):
    before = len(oracle.requests())
    oracle.fault("cut-before")
    _broken(post, ConnectionError)
    oracle.channel.close()
    # With connections of its own: those of a channel that is being closed may still be shared.
    own = [("grpc.use_local_subchannel_pool", 1)]
    oracle.channel = grpc.insecure_channel(f"127.0.0.1:{oracle.ports['grpc']}", options=own)
    assert grpc_failure(oracle.send_logs).code() == grpc.StatusCode.UNAVAILABLE
    assert len(oracle.requests()) == before, "what was not read whole is not written down"

    for fault, error in (("cut-after", ConnectionError), ("garbage", http.client.HTTPException)):
        oracle.fault("none")
        oracle.send_logs(wait_for_ready=True)
        before = len(oracle.requests())
        oracle.fault(fault)
        _broken(post, error)
        assert grpc_failure(oracle.send_logs).code() == grpc.StatusCode.UNAVAILABLE
        assert [request["fault"] for request in oracle.requests()[before:]] == [fault, fault]
    oracle.fault("none")
    oracle.send_logs(wait_for_ready=True)


def _broken(post, kind):
    try:
        post()
    except urllib.error.URLError as error:
        assert isinstance(error.reason, kind), error
    except kind:
        pass
    else:
        raise AssertionError("the connection should break")


def main():
    with tempfile.TemporaryDirectory() as folder:
        oracle = Oracle(folder)
        try:
            for check in (check_content, check_encodings, check_faults):
                check(oracle)
                print(f"ok: {check.__name__}")
        finally:
            oracle.stop()


if __name__ == "__main__":
    main()
