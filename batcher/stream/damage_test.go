package stream

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"resslt/batcher/internal/farm"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/internal/rig"
	"resslt/batcher/runs"
	"resslt/batcher/worker"

	"github.com/nats-io/nats.go/jetstream"
)

// Bits that flip in the blocks of every stream cost time alone: Debian's broker
// then takes messages that it cannot give back, or numbers tasks from the beginning.
func TestDamagedStore(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			b := rig.Launch(t, rig.Separate())
			_, js := b.Connect(t)
			spec := fixture.Spec()
			spec.Epochs = 8
			src := &rig.HashSource{}
			run := openRun(t, js, spec, runs.Options{Storage: runs.StorageFile, Window: 6, AckWait: 500 * time.Millisecond})
			farm.Start(t, js, src, worker.Options{Workers: 2}, "")
			t.Cleanup(func() {
				if !t.Failed() {
					return
				}
				for _, n := range []string{"CTRL_r", "TASKS_r", "BATCH_r"} {
					st, err := js.Stream(context.Background(), n)
					if err != nil {
						t.Log(n, err)
						continue
					}
					i, _ := st.Info(context.Background(), jetstream.WithSubjectFilter(">"))
					t.Logf("%s %+v", n, i.State)
					_, e := st.GetMsg(context.Background(), i.State.FirstSeq)
					t.Log("first:", e)
					_, e = st.GetMsg(context.Background(), i.State.LastSeq)
					t.Log("last:", e)
				}
				c, err := js.Consumer(context.Background(), "TASKS_r", "workers")
				if err == nil {
					t.Logf("%+v", c.CachedInfo())
				}
				t.Log(err)
			})
			s := openStream(t, run, Options{Prefetch: 1})
			got := take(t, s, 10)
			b.Stop()
			rng := rand.New(rand.NewPCG(seed, 0))
			blocks := 0
			err := filepath.WalkDir(b.Dir, func(path string, _ fs.DirEntry, err error) error {
				if err != nil || filepath.Ext(path) != ".blk" {
					return err
				}
				raw, err := os.ReadFile(path)
				if err != nil || len(raw) == 0 {
					return err
				}
				blocks++
				for range 3 {
					raw[rng.IntN(len(raw))] ^= 1 << rng.IntN(8)
				}
				return os.WriteFile(path, raw, 0o600)
			})
			if err != nil || blocks < 3 {
				t.Fatalf("%d blocks were hit, %v", blocks, err)
			}
			b.Start(t, b)
			rig.Equal(t, append(got, take(t, s, spec.Steps())...), rig.Want(t, spec, src, 0, spec.Steps()))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
