package serve

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"

	"resslt/batcher/assemble"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// hello is a client's first frame.
type hello struct {
	Protocol int    `json:"protocol"`
	Client   string `json:"client"` // name
	Token    string `json:"token"`
	From     int64  `json:"from"` // first step; fromPosition: where the name stopped
	Rank     int    `json:"rank"`
	World    int    `json:"world"`
	Credits  int64  `json:"credits"`
	Shared   bool   `json:"shm"`    // it can take a ring
	Digest   string `json:"digest"` // of the run that it expects; "" for any
	Agent    string `json:"agent"`
}

const (
	// fromPosition asks for the first step that the name has not acknowledged.
	fromPosition = -1
	maxCredits   = 1024
	maxWorld     = 1 << 16
)

// parseHello reads a first frame. It returns an error of the protocol, or ErrMismatch for
// another version of it.
func parseHello(f frame) (*hello, error) {
	if f.kind != frameHello {
		return nil, protocolError("a frame %q before its hello", f.kind)
	}
	h := &hello{From: fromPosition, World: 1}
	if err := json.Unmarshal(f.body, h); err != nil {
		return nil, protocolError("a hello that is no JSON of its form")
	}
	if h.Protocol != Version {
		return nil, errs.New("serve", fmt.Sprintf("protocol %d", h.Protocol), "install the Python package and the program of one version",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("this server speaks version %d of the protocol", Version)))
	}
	return h, nil
}

// check reports what is wrong with a hello for a run of this spec: ErrUsage, or ErrMismatch
// where the client expects another run.
func (h *hello) check(spec *schemas.RunSpec, digest string) error {
	bad := func(field string, value any, hint string) error {
		return errs.New("serve", fmt.Sprintf("%s %v", field, value), hint, errs.ErrUsage)
	}
	switch {
	case schemas.CheckRunName(h.Client) != nil:
		return bad("client", fmt.Sprintf("%.80q", h.Client), "use 1 to 64 of letters, digits, '-' and '_'")
	case h.From < fromPosition || h.From > spec.Steps():
		return bad("from", h.From, fmt.Sprintf("give 0 to %d, or -1 for where the client stopped", spec.Steps()))
	case h.World < 1 || h.World > maxWorld:
		return bad("world", h.World, fmt.Sprintf("give 1 to %d", maxWorld))
	case h.Rank < 0 || h.Rank >= h.World:
		return bad("rank", h.Rank, fmt.Sprintf("give 0 to %d", h.World-1))
	case h.Credits < 1 || h.Credits > maxCredits:
		return bad("credits", h.Credits, fmt.Sprintf("give 1 to %d", maxCredits))
	case h.Digest != "" && h.Digest != digest:
		return errs.New("serve", fmt.Sprintf("run %.12s", digest), "start the server with the data, policy, batch size and seed that the state was saved with",
			errs.Because(errs.ErrMismatch, fmt.Sprintf("the client's state is of the run %.12s", h.Digest)))
	}
	return h.part().Validate(spec.BatchSize)
}

// part is the client's rows of a batch.
func (h *hello) part() assemble.Part {
	if h.World == 1 {
		return assemble.Part{}
	}
	return assemble.Part{Index: h.Rank, Of: h.World}
}

// trainer is the name of the client's rank among the trainers of the run.
func (h *hello) trainer() string { return h.part().Trainer(h.Client) }

// admit compares a client's token with the door's, in a time that says nothing of it.
func admit(given, want string) error {
	if want == "" || subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1 {
		return nil
	}
	why := "the token is another"
	if given == "" {
		why = "the client gave no token"
	}
	return errs.New("serve", "", "give the client the server's token: the file that the server names when it starts, or RESSLT_TOKEN", errs.Because(errs.ErrDenied, why))
}

// welcome is the server's answer.
type welcome struct {
	Protocol      int                `json:"protocol"`
	Version       string             `json:"version"`
	Run           string             `json:"run"`
	Digest        string             `json:"digest"`
	Spec          schemas.RunSpec    `json:"spec"`
	PolicyName    string             `json:"policy_name"`
	Steps         int64              `json:"steps"`
	StepsPerEpoch int64              `json:"steps_per_epoch"`
	Epochs        int64              `json:"epochs"` // 0: without end
	BatchSize     int                `json:"batch_size"`
	Rows          [2]int             `json:"rows"` // of this rank: from, to
	From          int64              `json:"from"`
	Views         []schemas.ViewSpec `json:"views"`
	Mean          []float64          `json:"mean"`
	Std           []float64          `json:"std"`
	Classes       []string           `json:"classes"`
	NumClasses    int                `json:"num_classes"`
	Samples       int64              `json:"samples"`
	Engine        string             `json:"engine"`
	MaxFrame      int64              `json:"max_frame"`
	Shared        *sharedMemory      `json:"shm"` // nil: batches come whole
}

// sharedMemory describes a ring.
type sharedMemory struct {
	Bytes     int64 `json:"bytes"`
	Slots     int   `json:"slots"`
	SlotBytes int64 `json:"slot_bytes"`
}
