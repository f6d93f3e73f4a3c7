package access

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/schemas"
)

// TestReplySubjects: a broker answers a request on whatever subject this names, with
// rights of its own. A worker or an observer that names a subject which it may not
// publish to, gets nothing there: its answers stay in its own account.
func TestReplySubjects(t *testing.T) {
	for _, by := range []login{byNKey, byCreds} {
		for _, separate := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, nats-server %v", by, separate), func(t *testing.T) {
				t.Parallel()
				f := launch(t, by, separate, KeyOptions{})
				trainer := f.connect(t, by, vision, broker.RoleTrainer)
				if _, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{}); err != nil {
					t.Fatal(err)
				}
				worker := f.connect(t, by, vision, broker.RoleWorker)
				// What it would like to have said, under a subject where it may say it.
				if _, err := worker.js.Publish(t.Context(), schemas.ChunkSubject("r", 0, 0), []byte("{}")); err != nil {
					t.Fatal(err)
				}
				before := held(t, trainer)
				for role, reads := range map[broker.Role][]string{
					broker.RoleWorker:   {"$JS.API.DIRECT.GET.BATCH_r", "$JS.API.STREAM.MSG.GET.BATCH_r", "$JS.API.STREAM.INFO.CTRL_r", "b.r.0.1"},
					broker.RoleObserver: {"$JS.API.DIRECT.GET.BATCH_r", "$JS.API.STREAM.MSG.GET.CTRL_r"},
				} {
					c := f.connect(t, by, vision, role)
					body := func(read string) []byte {
						if strings.Contains(read, ".INFO.") {
							return nil // it takes no number
						}
						return []byte(`{"seq": 1}`)
					}
					answered := func(read string) {
						t.Helper()
						m, err := c.nc.RequestWithContext(t.Context(), read, body(read))
						if err != nil {
							t.Fatalf("%s may not read by %s at all: %v", role, read, err)
						}
						var a struct{ Error *json.RawMessage }
						if m.Header.Get("Status") != "" || json.Unmarshal(m.Data, &a) == nil && a.Error != nil {
							t.Fatalf("%s is refused %s: %v %s", role, read, m.Header, m.Data)
						}
					}
					for _, read := range reads {
						answered(read) // where it may hear it
						for _, reply := range []string{
							schemas.TaskSubject("r", 0, 2), schemas.SpecSubject("r"), schemas.OptionsSubject("r"), schemas.TrainerSubject("r", "x"),
							"$JS.API.STREAM.DELETE.BATCH_r", "$JS.API.STREAM.PURGE.CTRL_r", "$JS.API.CONSUMER.DELETE.TASKS_r.workers",
						} {
							if err := c.nc.PublishMsg(&nats.Msg{Subject: read, Reply: reply, Data: body(read)}); err != nil {
								t.Fatal(err)
							}
						}
					}
					for _, read := range reads {
						answered(read) // and with this, whatever was asked before it
					}
				}
				after := held(t, trainer)
				delete(after, "BATCH_r "+schemas.ChunkSubject("r", 0, 1)) // which the worker may publish
				if fmt.Sprint(after) != fmt.Sprint(before) {
					t.Errorf("the broker holds\n%v\nwhere it held\n%v", after, before)
				}
			})
		}
	}
}

// held is what the streams of run r hold, by stream and subject, and their consumers.
func held(t *testing.T, c *client) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	for _, name := range []string{schemas.CtrlStream("r"), schemas.TasksStream("r"), schemas.BatchStream("r")} {
		s, err := c.js.Stream(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		out[name+" consumers"] = uint64(info.State.Consumers)
		for subject := range info.State.Subjects {
			m, err := s.GetLastMsgForSubject(t.Context(), subject)
			if err != nil {
				t.Fatal(err)
			}
			out[name+" "+subject] = m.Sequence
		}
	}
	return out
}
