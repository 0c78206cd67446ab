// Command example runs one job on the host at the socket that its argument names. docs/clients.md shows it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"stephost.example/clients/wire"
)

const steps = `{}
---
run:
- name: greet
  script: echo hello from go; exit 3
`

func main() {
	if err := run(context.Background(), os.Args[1], "example"); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, socket, id string) (err error) {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	host := wire.NewStepRunnerClient(conn)

	if _, err := host.Run(ctx, &wire.RunRequest{Id: id, Steps: steps}); err != nil {
		return err
	}
	// Whatever happens: what is not closed is kept, and its id is taken.
	defer func() {
		_, closed := host.Close(ctx, &wire.CloseRequest{Id: id})
		err = errors.Join(err, closed)
	}()
	if err := follow(ctx, host, id, os.Stdout); err != nil {
		return err
	}
	answer, err := host.Status(ctx, &wire.StatusRequest{Id: id})
	if err != nil {
		return err
	}
	job := answer.Jobs[0]
	fmt.Printf("%s, %s: %s\n", job.Status, job.Error.GetKind(), job.Message)
	return nil
}

// follow writes the whole log of a job to log, over as many streams as it takes.
func follow(ctx context.Context, host wire.StepRunnerClient, id string, log io.Writer) error {
	var offset int64
	for tries := 0; ; {
		stream, err := host.FollowLogs(ctx, &wire.FollowLogsRequest{Id: id, Offset: offset})
		for err == nil {
			var piece *wire.FollowLogsResponse
			if piece, err = stream.Recv(); err != nil {
				break
			}
			if _, err := log.Write(piece.Data); err != nil {
				return err
			}
			offset, tries = offset+int64(len(piece.Data)), 0
		}
		if err == io.EOF {
			return nil
		}
		// The connection broke; any other code is the host's last word.
		if tries++; status.Code(err) != codes.Unavailable || tries > 5 {
			return err
		}
		time.Sleep(time.Duration(tries) * 100 * time.Millisecond)
	}
}
