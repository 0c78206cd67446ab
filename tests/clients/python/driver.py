"""Makes the calls that a test asks for, and tells what grpcio makes of the answers.

It connects to the socket that its argument names. Each line of its input is one command, each line of its output one
event, all of them JSON; tests/fixture/foreign.rs has the other side. It decides nothing: what is right stands there.
Calls run side by side, so their events may mix. The end of the input ends it.
"""

import base64
import json
import os
import sys
import threading

import grpc
import step_runner_pb2  # noqa: F401  (registers its methods)
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2  # noqa: F401  (registers its methods)


class Driver:
    def __init__(self, socket):
        # C-core would send the path of the socket as the authority, which no HTTP/2 server can take.
        options = [("grpc.default_authority", "localhost")]
        self.channel = grpc.insecure_channel("unix:" + socket, options=options)
        self.calls = {}
        self.output = threading.Lock()

    def tell(self, event):
        line = json.dumps(event)
        with self.output:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def start(self, command):
        number = command["call"]
        method = descriptor_pool.Default().FindMethodByName(command["method"].replace("/", "."))
        request = message_factory.GetMessageClass(method.input_type).FromString(
            base64.b64decode(command["request"])
        )
        answer = message_factory.GetMessageClass(method.output_type)
        make = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = make(
            "/" + command["method"],
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        timeout = command.get("timeout_ms", 0) / 1000 or None
        if method.server_streaming:
            running = call(request, timeout=timeout)
        else:
            running = call.future(request, timeout=timeout)
        # Known before the next command is read, which may be to give it up.
        self.calls[number] = running
        follow = self.stream if method.server_streaming else self.unary
        enough = command.get("enough", 0)
        threading.Thread(target=self.follow, args=(number, running, follow, enough), daemon=True).start()

    def follow(self, number, running, follow, enough):
        try:
            follow(number, running, enough)
            last = end(0, "", b"")
        except (grpc.RpcError, grpc.FutureCancelledError):
            last = ended(running)
        self.calls.pop(number, None)
        self.tell({"call": number, "end": last})

    def unary(self, number, running, _enough):
        self.answered(number, running.result())

    def stream(self, number, running, enough):
        for answers, answer in enumerate(running, start=1):
            self.answered(number, answer)
            if answers == enough:
                running.cancel()
                return

    def answered(self, number, answer):
        message = base64.b64encode(answer.SerializeToString()).decode()
        self.tell({"call": number, "message": message})


def ended(call):
    """The end of a call, as grpcio tells it."""
    trailers = call.trailing_metadata() or ()
    details = [value for key, value in trailers if key == "grpc-status-details-bin"]
    return end(call.code().value[0], call.details() or "", b"".join(details))


def end(code, text, details):
    return {"code": code, "text": text, "details": base64.b64encode(details).decode()}


def main():
    [socket] = sys.argv[1:]
    driver = Driver(socket)
    for line in sys.stdin:
        command = json.loads(line)
        if command.get("cancel"):
            running = driver.calls.get(command["call"])
            if running is not None:
                running.cancel()
        else:
            driver.start(command)
    # Threads that still wait for the host would keep the program.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
