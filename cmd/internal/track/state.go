package track

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// Folder is where a run's folder has what trackers need to go on.
const Folder = "track"

// state is a file in Folder: how far a tracker has followed the run.
type state struct {
	Tracker string           `json:"tracker"`
	ID      string           `json:"id"`   // of the run in the service; "" before it has one
	Sent    map[string]int64 `json:"sent"` // by file of the run's folder, the last step that was sent

	path string
}

// maxState bounds the file, bytes.
const maxState = 1 << 16

// loadState reads a tracker's state, empty where there is none.
func loadState(out, name string) (*state, error) {
	sum := sha256.Sum256([]byte(name))
	kind, _, _ := strings.Cut(name, ":")
	s := &state{Tracker: name, Sent: map[string]int64{}, path: filepath.Join(out, Folder, kind+"-"+hex.EncodeToString(sum[:4])+".json")}
	raw, err := bounded.ReadFile(s.path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = bounded.JSON(raw, s)
	}
	if err != nil {
		return nil, errs.New("read", s.path, "delete it: the tracker then begins another run", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	if s.Sent == nil {
		s.Sent = map[string]int64{}
	}
	return s, nil
}

func (s *state) save() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o755); err != nil {
		return durable.Error(s.path, err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return errs.New("write", s.path, "report this as a bug", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return durable.WriteFile(s.path, append(raw, '\n'))
}
