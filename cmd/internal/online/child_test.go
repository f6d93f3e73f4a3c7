package online

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/train/eval"
	"resslt/train/recipe"
)

// asChild has this program stand for `resslt eval`: its one score is how nice it is, once that is the
// variable's number or the variable's time is over: "10 30s".
const asChild = "RESSLT_TEST_SCORES"

func TestMain(m *testing.M) {
	lowered, wait, child := strings.Cut(os.Getenv(asChild), " ")
	if !child {
		os.Exit(m.Run())
	}
	within, err := time.ParseDuration(wait)
	if err != nil {
		panic(err)
	}
	end := time.Now().Add(within)
	for strconv.Itoa(niceness()) != lowered && time.Now().Before(end) {
		time.Sleep(time.Millisecond)
	}
	if err := json.NewEncoder(os.Stdout).Encode(eval.Result{Scores: []eval.Score{{Name: "nice", Value: float64(niceness())}}}); err != nil {
		os.Exit(1)
	}
}

func niceness() int {
	p, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		panic(err)
	}
	return 20 - p
}

// TestWaitedForIsNotNice: the scoring process gives way to the training, but for one that waits for it.
func TestWaitedForIsNotNice(t *testing.T) {
	own := niceness()
	lowered := min(own+nicer, 19)
	for rule, c := range map[string]struct {
		want   int
		within string // it must be lowered: long; it must not: short
	}{"": {lowered, "30s"}, "knn:3": {own, "300ms"}} {
		t.Run(fmt.Sprintf("stop_on=%s", rule), func(t *testing.T) {
			t.Setenv(asChild, fmt.Sprintf("%d %s", lowered, c.within))
			e := Evaluator{Options: Options{Recipe: &recipe.Recipe{StopOn: rule}}, ctx: context.Background()}
			result, _, err := e.run(recipe.KNNProbe, "encoder", "", "near")
			if err != nil {
				t.Fatal(err)
			}
			if got := int(result.Scores[0].Value); got != c.want {
				t.Errorf("nice %d, want %d (this process: %d)", got, c.want, own)
			}
		})
	}
}
