// Command driver makes the calls that a test asks for, and tells what grpc-go makes of the answers.
//
// It connects to the socket that its argument names. Each line of its input is one command, each line of its output one
// event, all of them JSON; tests/fixture/foreign.rs has the other side. It decides nothing: what is right stands there.
// Calls run side by side, so their events may mix. The end of the input ends it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health/grpc_health_v1" // registers its methods
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "stephost.example/clients/wire" // registers its methods
)

// command is a line of the input: a call to make, or one to give up.
type command struct {
	Call uint64 `json:"call"`
	// Method is `package.Service/Method`.
	Method string `json:"method"`
	// Request is the message as bytes; it is read into grpc-go's own type and written from there.
	Request []byte `json:"request"`
	// TimeoutMs is the deadline of the call, of which 0 is none.
	TimeoutMs int64 `json:"timeout_ms"`
	// Enough is the number of answers after which a stream is given up, of which 0 is all of them.
	Enough int  `json:"enough"`
	Cancel bool `json:"cancel"`
}

// event is a line of the output: an answer, or the end of a call.
type event struct {
	Call    uint64 `json:"call"`
	Message []byte `json:"message,omitempty"`
	End     *end   `json:"end,omitempty"`
}

type end struct {
	Code uint32 `json:"code"`
	Text string `json:"text"`
	// Details is what came beside code and text, as bytes, of which there are none usually.
	Details []byte `json:"details"`
}

type driver struct {
	conn   *grpc.ClientConn
	output sync.Mutex
	calls  sync.Map // context.CancelFunc by number
}

func main() {
	if err := drive(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func drive() error {
	if len(os.Args) != 2 {
		return errors.New("the one argument is the socket")
	}
	conn, err := grpc.NewClient("unix:"+os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	d := &driver{conn: conn}
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var c command
		if err := json.Unmarshal(line, &c); err != nil {
			return err
		}
		if c.Cancel {
			if cancel, ok := d.calls.Load(c.Call); ok {
				cancel.(context.CancelFunc)()
			}
			continue
		}
		ctx, cancel := within(time.Duration(c.TimeoutMs) * time.Millisecond)
		d.calls.Store(c.Call, cancel)
		go func() {
			ended := status.Convert(d.call(ctx, c))
			d.calls.Delete(c.Call)
			cancel()
			d.tell(event{Call: c.Call, End: &end{uint32(ended.Code()), ended.Message(), details(ended)}})
		}()
	}
}

func details(of *status.Status) []byte {
	if len(of.Proto().GetDetails()) == 0 {
		return nil
	}
	bytes, err := proto.Marshal(of.Proto())
	if err != nil {
		panic(err) // it came from bytes
	}
	return bytes
}

// within makes a context with a deadline, or with none, of which the host is told nothing then.
func within(timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout > 0 {
		return context.WithTimeout(context.Background(), timeout)
	}
	return context.WithCancel(context.Background())
}

// tell writes one event.
func (d *driver) tell(e event) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // it holds nothing but numbers, text and bytes
	}
	d.output.Lock()
	defer d.output.Unlock()
	// Nobody reads any more: the end of the input is near.
	_, _ = os.Stdout.Write(append(line, '\n'))
}

// call makes a call to its end, and tells each answer.
func (d *driver) call(ctx context.Context, c command) error {
	name := protoreflect.FullName(strings.ReplaceAll(c.Method, "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return err
	}
	method, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return fmt.Errorf("%s is no method", name)
	}
	request, err := empty(method.Input())
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(c.Request, request); err != nil {
		return err
	}
	if !method.IsStreamingServer() {
		answer, err := empty(method.Output())
		if err != nil {
			return err
		}
		if err := d.conn.Invoke(ctx, "/"+c.Method, request, answer); err != nil {
			return err
		}
		return d.answered(c, answer)
	}
	stream, err := d.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+c.Method)
	if err != nil {
		return err
	}
	// What a failed send means is for RecvMsg to say.
	if err := stream.SendMsg(request); err != nil && err != io.EOF {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for answers := 0; c.Enough == 0 || answers < c.Enough; answers++ {
		answer, err := empty(method.Output())
		if err != nil {
			return err
		}
		if err := stream.RecvMsg(answer); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := d.answered(c, answer); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) answered(c command, answer proto.Message) error {
	if len(answer.ProtoReflect().GetUnknown()) > 0 {
		return errors.New("the answer has fields that the client does not know")
	}
	bytes, err := proto.Marshal(answer)
	if err != nil {
		return err
	}
	if bytes == nil {
		bytes = []byte{}
	}
	d.tell(event{Call: c.Call, Message: bytes})
	return nil
}

// empty makes a message of a type that is registered.
func empty(of protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
	if err != nil {
		return nil, err
	}
	return kind.New().Interface(), nil
}
