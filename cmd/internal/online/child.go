package online

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"resslt/cmd/internal/cores"
	"resslt/schemas/errs"
	"resslt/train/eval"
	"resslt/train/recipe"
)

// nicer is by how much the scoring process is nicer than this one: training goes first.
const nicer = 10

// run scores an encoder's file with `resslt eval PROBE`, and says how much CPU time that took.
// kNN's process writes the neighbours of a few images to near.
func (e *Evaluator) run(probe, file, cache, near string) (result eval.Result, cpu time.Duration, err error) {
	args := e.arguments(probe, file, cache, near)
	fail := func(err error) (eval.Result, time.Duration, error) {
		return result, 0, errs.New("score while training", file, "run `resslt eval "+probe+"` by hand to see what is wrong", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	exe, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	c := exec.CommandContext(e.ctx, exe, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C goes to the trainer alone, which stops its probe itself
	if err := c.Start(); err != nil {
		return fail(err)
	}
	if e.Recipe.StopOn == "" { // else the training waits for it
		giveWay(c.Process.Pid)
	}
	if err := c.Wait(); err != nil {
		lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return fail(fmt.Errorf("%w: %s", err, lines[len(lines)-1]))
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &result); err != nil {
		return fail(err)
	}
	return result, c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// giveWay lowers a child's priority, as far as that can be: it may have ended.
func giveWay(pid int) {
	own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // Linux's system call gives 20 − nice
	if err == nil {
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, pid, min(20-own+nicer, 19))
	}
}

// arguments are those of `resslt eval`, by the recipe.
func (e *Evaluator) arguments(probe, file, cache, near string) []string {
	r := e.Recipe
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	args := []string{
		"eval", probe, "--checkpoint", file, "--data", r.Data,
		"--split", r.ProbeSplit, "--eval-split", r.EvalSplit, "--max-images", strconv.Itoa(r.EvalImages),
		"--device", r.Device, "--threads", strconv.Itoa(e.threads()), "--out", "-", "--json",
	}
	if e.HoldOut > 0 {
		args = append(args, "--hold-out", strconv.Itoa(e.HoldOut))
	}
	if cache != "" {
		args = append(args, "--cache", cache)
	}
	if probe == recipe.LinearProbe {
		return append(args, "--protocol", "small", "--augment=false", "--seed", strconv.FormatUint(r.Seed, 10),
			"--epochs", strconv.Itoa(r.LinearEpochs), "--lr", number(r.LinearLR), "--batch-size", strconv.Itoa(r.LinearBatchSize))
	}
	var ks []string
	for _, k := range r.KNNK {
		ks = append(ks, strconv.Itoa(k))
	}
	return append(args, "--k", strings.Join(ks, ","), "--temperature", number(r.KNNTemperature), "--neighbours", near)
}

// threads are libtorch's: the cores that the training leaves; where it waits for the score, as
// many as it has itself, since another number may change a score's last digit.
func (e *Evaluator) threads() int {
	if e.Recipe.StopOn != "" {
		return e.Recipe.Threads
	}
	return max(1, cores.Count()-e.Recipe.Threads)
}
