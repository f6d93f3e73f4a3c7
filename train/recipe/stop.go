package recipe

import (
	"fmt"
	"strconv"
	"strings"

	"resslt/schemas/errs"
)

// Probes that score an encoder while it trains.
const (
	KNNProbe    = "knn"
	LinearProbe = "linear"
)

// StopRule is a parsed stop_on: the run ends after so many Scores of Probe in a row of which
// none is more than Gain above the best before them.
type StopRule struct {
	Probe  string
	Scores int
	Gain   float64 // percent points
}

// StopRule parses StopOn; false where it is "".
func (r *Recipe) StopRule() (rule StopRule, some bool, err error) {
	if r.StopOn == "" {
		return rule, false, nil
	}
	bad := errs.New("recipe "+r.Name+" key", "stop_on", stopHint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %q", r.StopOn)))
	parts := strings.Split(r.StopOn, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != KNNProbe && parts[0] != LinearProbe {
		return rule, false, bad
	}
	rule.Probe = parts[0]
	if rule.Scores, err = strconv.Atoi(parts[1]); err != nil || rule.Scores < 1 {
		return rule, false, bad
	}
	if len(parts) == 3 {
		if rule.Gain, err = strconv.ParseFloat(parts[2], 64); err != nil || !(rule.Gain >= 0 && rule.Gain < 100) {
			return rule, false, bad
		}
	}
	return rule, true, nil
}

const stopHint = "give knn:SCORES or linear:SCORES, or with the percent points that a score must gain, knn:5:0.1"

// stopRule is the rule of the key stop_on.
func (r *Recipe) stopRule() rule {
	stop, some, err := r.StopRule()
	if err != nil {
		return rule{"stop_on", false, fmt.Sprintf("is %q", r.StopOn), stopHint}
	}
	return rule{
		"stop_on", !some || r.every(stop.Probe) > 0, fmt.Sprintf("is %q, and %s_every is 0: there is no score to stop on", r.StopOn, stop.Probe),
		fmt.Sprintf("set %s_every to the epochs between two scores", stop.Probe),
	}
}

func (r *Recipe) every(probe string) int {
	if probe == LinearProbe {
		return r.LinearEvery
	}
	return r.KNNEvery
}

// ProbesAfter lists the probes that the recipe asks for after so many epochs.
func (r *Recipe) ProbesAfter(epochs int64) (probes []string) {
	for _, p := range []string{KNNProbe, LinearProbe} {
		if every := int64(r.every(p)); every > 0 && epochs > 0 && epochs%every == 0 {
			probes = append(probes, p)
		}
	}
	return probes
}
