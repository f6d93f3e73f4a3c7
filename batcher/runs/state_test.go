package runs

import (
	"errors"
	"testing"
	"time"

	"resslt/batcher/internal/fixture"
	"resslt/schemas"
)

// The state of a run, since when, and whether it may be put to sleep, by what the broker
// holds of it.
func TestState(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	spec := fixture.Spec() // 12 steps
	at := func(cursor int64, live, left bool, renewed time.Duration) TrainerState {
		return TrainerState{Name: "t", Cursor: cursor, Live: live, Left: left, Renewed: ago(renewed)}
	}
	all := []string{"TASKS_r", "BATCH_r", "BEATS_r", "CTRL_r"}
	run := func(o Options) *Run {
		return &Run{Name: "r", Info: schemas.RunInfo{Spec: spec}, opts: o.applyDefaults(&spec)}
	}
	const hour, day = time.Hour, 24 * time.Hour
	for _, tc := range []struct {
		name  string
		o     Overview
		want  State
		since time.Duration
		sleep bool // by the run's own time, an hour
	}{
		{"a live trainer", Overview{Kept: all, Opened: ago(hour), Stirred: ago(0), Trainers: []TrainerState{at(3, true, false, 0)}}, StateLive, hour, false},
		{
			"a live one beside a dead one and one that has ended",
			Overview{Kept: all, Opened: ago(day), Stirred: ago(0), Trainers: []TrainerState{at(3, false, false, day), at(12, false, true, hour), at(5, true, false, 0)}},
			StateLive, day, false,
		},
		{"live after its last step", Overview{Kept: all, Opened: ago(day), Stirred: ago(day), Trainers: []TrainerState{at(12, true, false, day)}}, StateLive, day, false},
		{"opened just now", Overview{Kept: all, Opened: ago(time.Minute), Stirred: ago(time.Minute)}, StateOpened, time.Minute, false},
		{"ended, and opened again", Overview{Kept: all, Opened: ago(time.Minute), Stirred: ago(time.Minute), Trainers: []TrainerState{at(12, false, true, hour)}}, StateOpened, time.Minute, false},
		{"asleep, and opened again", Overview{Kept: all, Opened: ago(time.Minute), Stirred: ago(time.Minute), Trainers: []TrainerState{at(4, false, true, day)}}, StateOpened, time.Minute, false},
		{"opened, and nobody came for long", Overview{Kept: all, Opened: ago(2 * hour), Stirred: ago(2 * hour)}, StateAbandoned, 2 * hour, true},
		{"opened, nobody came, and its streams are gone", Overview{Kept: all[3:], Opened: ago(2 * hour), Stirred: ago(2 * hour)}, StateAsleep, 2 * hour, false},
		{"ended", Overview{Kept: all, Opened: ago(day), Stirred: ago(0), Trainers: []TrainerState{at(12, false, true, 0)}}, StateEnded, 0, true},
		{"ended and asleep", Overview{Kept: all[3:], Opened: ago(day), Stirred: ago(hour), Trainers: []TrainerState{at(12, false, true, hour)}}, StateEnded, hour, false},
		{
			"ended by one, interrupted in another",
			Overview{Kept: all, Opened: ago(day), Stirred: ago(hour), Trainers: []TrainerState{at(12, false, true, 2*hour), at(4, false, true, hour)}},
			StateEnded, hour, true,
		},
		{
			"ended by one, another killed a moment ago",
			Overview{Kept: all, Opened: ago(day), Stirred: ago(time.Minute), Trainers: []TrainerState{at(12, false, true, 2*hour), at(4, false, false, time.Minute)}},
			StateAbandoned, time.Minute, false,
		},
		{"killed in its last step", Overview{Kept: all, Opened: ago(day), Stirred: ago(time.Minute), Trainers: []TrainerState{at(12, false, false, time.Minute)}}, StateAbandoned, time.Minute, false},
		{"interrupted", Overview{Kept: all, Opened: ago(day), Stirred: ago(30 * time.Minute), Trainers: []TrainerState{at(4, false, true, 30*time.Minute)}}, StateAbandoned, 30 * time.Minute, false},
		{"interrupted for long", Overview{Kept: all, Opened: ago(day), Stirred: ago(hour), Trainers: []TrainerState{at(4, false, true, hour)}}, StateAbandoned, hour, true},
		{"its trainer is gone, chunks still come", Overview{Kept: all, Opened: ago(day), Stirred: ago(time.Minute), Trainers: []TrainerState{at(4, false, false, 2*hour)}}, StateAbandoned, 2 * hour, false},
		{"abandoned, of which the tasks alone are left", Overview{Kept: []string{"TASKS_r", "CTRL_r"}, Opened: ago(day), Stirred: ago(hour), Trainers: []TrainerState{at(4, false, true, hour)}}, StateAbandoned, hour, true},
		{"asleep", Overview{Kept: all[3:], Opened: ago(day), Stirred: ago(hour), Trainers: []TrainerState{at(4, false, false, hour)}}, StateAsleep, hour, false},
		{"opened to wait for a day", Overview{Run: run(Options{SleepAfter: day}), Kept: all, Opened: ago(day), Stirred: ago(2 * hour), Trainers: []TrainerState{at(4, false, true, 2*hour)}}, StateAbandoned, 2 * hour, false},
		{"opened to wait for a minute", Overview{Run: run(Options{SleepAfter: time.Minute}), Kept: all, Opened: ago(day), Stirred: ago(2 * time.Minute), Trainers: []TrainerState{at(4, false, true, 2*time.Minute)}}, StateAbandoned, 2 * time.Minute, true},
		{"stopped", Overview{Stopped: errors.New("two digests"), Kept: all, Opened: ago(day), Stirred: ago(hour), Trainers: []TrainerState{at(4, false, true, hour)}}, StateStopped, hour, true},
		{"stopped a moment ago", Overview{Stopped: errors.New("two digests"), Kept: all, Opened: ago(day), Stirred: ago(0), Trainers: []TrainerState{at(4, false, true, 0)}}, StateStopped, 0, false},
		{"sealed", Overview{Sealed: true, Kept: all, Opened: ago(day), Stirred: ago(day), Trainers: []TrainerState{at(12, false, true, day)}}, StateSealed, day, false},
		{"a recording that was interrupted", Overview{keepsSteps: true, Kept: all, Opened: ago(day), Stirred: ago(day), Trainers: []TrainerState{at(4, false, true, day)}}, StateRecording, day, false},
		{"a recording at its end, not sealed", Overview{keepsSteps: true, Kept: all, Opened: ago(day), Stirred: ago(day), Trainers: []TrainerState{at(12, false, true, day)}}, StateRecording, day, false},
		{"a recording is being imported", Overview{Run: run(Options{Storage: StorageFile, MaxBytes: RecordingBytes(&spec)}), Kept: all, Opened: ago(day), Stirred: ago(day)}, StateRecording, day, false},
		{
			"a recording is being imported, under the name of a run that has ended",
			Overview{Run: run(Options{Storage: StorageFile, MaxBytes: RecordingBytes(&spec)}), Kept: all, Opened: ago(hour), Stirred: ago(0), Trainers: []TrainerState{at(12, false, true, day)}},
			StateRecording, day, false,
		},
		{
			"a run with room for all in files, trained to its end",
			Overview{Run: run(Options{Storage: StorageFile, MaxBytes: RecordingBytes(&spec)}), Kept: all, Opened: ago(day), Stirred: ago(0), Trainers: []TrainerState{at(12, false, true, hour)}},
			StateEnded, hour, true,
		},
		{"chunks in files, nobody came", Overview{Run: run(Options{Storage: StorageFile}), Kept: all, Opened: ago(day), Stirred: ago(day)}, StateAbandoned, day, true},
		{"no CTRL_", Overview{Run: &Run{}, Kept: all[:2], Opened: ago(0)}, StateOrphan, 0, false},
		{"a CTRL_ without a spec, new", Overview{Run: &Run{}, Kept: all[3:], Opened: ago(time.Minute)}, StateOpened, time.Minute, false},
		{"a CTRL_ without a spec, old", Overview{Run: &Run{}, Kept: all[3:], Opened: ago(hour)}, StateOrphan, hour, false},
		{"of another build", Overview{Run: &Run{}, Err: errors.New("field X"), Kept: all, Opened: ago(day), Stirred: ago(day)}, StateUnreadable, day, false},
		{"of another build, and trained", Overview{Run: &Run{}, Err: errors.New("field X"), Kept: all, Opened: ago(day), Trainers: []TrainerState{at(4, true, false, 0)}}, StateLive, day, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := tc.o
			o.Name, o.Now = "r", now
			switch {
			case o.Run == nil:
				o.Run = run(Options{})
			case o.Run.Name == "":
				o.Run = nil
			}
			if got := o.State(); got != tc.want {
				t.Fatalf("the state is %s, want %s", got, tc.want)
			}
			if got := now.Sub(o.Since()); got != tc.since {
				t.Errorf("since %v, want %v", got, tc.since)
			}
			if got := o.SleepsNow(0); got != tc.sleep {
				t.Errorf("may be put to sleep: %v", got)
			}
		})
	}
}

// What is buffered does not fall to nothing because a trainer's note is a second old and what it
// has done since is purged; and a step that was never made is not passed over.
func TestCompleteFrom(t *testing.T) {
	steps := func(from, to int64) map[int64]int {
		chunks := map[int64]int{}
		for s := from; s < to; s++ {
			chunks[s] = 3
		}
		return chunks
	}
	holed := steps(10, 20)
	holed[13] = 2
	for _, tc := range []struct {
		name             string
		chunks           map[int64]int
		from, lag, limit int64
		want             int64
	}{
		{"nothing", nil, 10, -1, 64, 0},
		{"all of the window", steps(10, 74), 10, 3, 64, 64},
		{"more than the window", steps(10, 90), 10, 3, 64, 64},
		{"up to a gap", holed, 10, 3, 64, 3},
		{"an incomplete step first", map[int64]int{10: 2, 11: 3}, 10, 5, 64, 0},
		{"the trainer went on", steps(14, 30), 10, 5, 64, 16},
		{"the trainer stands, its step is not made", steps(14, 30), 10, 1, 64, 0},
		{"its speed is not known", steps(14, 30), 10, -1, 64, 16},
		{"behind the window", steps(100, 110), 10, -1, 64, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := completeFrom(tc.chunks, 3, tc.from, tc.lag, tc.limit); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}
