"""Runs one job on the host at the socket that the argument names. docs/clients.md shows it."""

import sys
import time

import grpc
import step_runner_pb2 as wire
import step_runner_pb2_grpc as services

STEPS = """{}
---
run:
- name: greet
  script: echo hello from python; exit 3
"""


def run(socket, job):
    # Without this authority every call fails: grpcio would send the path of the socket.
    options = [("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
        host = services.StepRunnerStub(channel)
        host.Run(wire.RunRequest(id=job, steps=STEPS))
        try:
            for piece in follow(host, job):
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()
            [status] = host.Status(wire.StatusRequest(id=job)).jobs
        finally:
            # Whatever happens: what is not closed is kept, and its id is taken.
            host.Close(wire.CloseRequest(id=job))
        state = wire.StepResult.Status.Name(status.status)
        kind = wire.StatusError.ErrorKind.Name(status.error.kind)
        print(f"{state}, {kind}: {status.message}")


def follow(host, job):
    """The whole log of a job, in pieces, over as many streams as it takes."""
    offset, tries = 0, 0
    while True:
        try:
            for piece in host.FollowLogs(wire.FollowLogsRequest(id=job, offset=offset)):
                yield piece.data
                offset, tries = offset + len(piece.data), 0
            return
        except grpc.RpcError as error:
            tries += 1
            # The connection broke; any other code is the host's last word.
            if error.code() != grpc.StatusCode.UNAVAILABLE or tries > 5:
                raise
            time.sleep(0.1 * tries)


if __name__ == "__main__":
    run(sys.argv[1], "example")
