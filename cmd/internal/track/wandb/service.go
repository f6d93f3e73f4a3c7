package wandb

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"resslt/cmd/internal/track"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// Folder is where a run's folder has W&B's.
const Folder = "wandb"

// A run's folder is named folderPrefix, when it began as stamp says, and its id.
const (
	folderPrefix = "offline-run-"
	stamp        = "20060102_150405"
)

// stepKey is what curves are drawn over.
const stepKey = "trainer/global_step"

// producer is the version of W&B's client whose records these are, and that can read them.
const producer = "0.16.0"

// service is a run in a file.
type service struct {
	project, entity string

	dir     string   // the run's, with its .wandb file
	log     *logFile // nil before Begin
	num     int64    // records that were written
	row     int64    // the next row of history
	started time.Time
}

// New prepares to track in a run's folder; project "" is that of WANDB_PROJECT. name is what
// people call it.
func New(project string, getenv func(string) string) (s track.Service, name string, err error) {
	project = cmp.Or(project, getenv("WANDB_PROJECT"), "resslt")
	return &service{project: project, entity: getenv("WANDB_ENTITY")}, "wandb:" + project, nil
}

func (s *service) Begin(_ context.Context, r *track.Run, id string) (string, error) {
	s.started = r.Started
	if id != "" {
		return id, s.rejoin(r, id)
	}
	var random [4]byte
	rand.Read(random[:]) // never fails
	id = hex.EncodeToString(random[:])
	s.dir = filepath.Join(r.Out, Folder, folderPrefix+r.Started.Format(stamp)+"-"+id)
	if err := os.MkdirAll(filepath.Join(s.dir, "files"), 0o755); err != nil {
		return "", unwritable(s.dir, err)
	}
	l, err := create(s.file(id))
	if err != nil {
		return "", err
	}
	run, err := s.runRecord(r, id)
	if err != nil {
		return "", errors.Join(err, l.close())
	}
	s.log, s.num, s.row = l, 0, 0
	records := []kinded{{kindHeader, header()}, {kindRun, run}}
	for _, d := range definitions() {
		records = append(records, kinded{kindMetric, d})
	}
	if err := s.write(records...); err != nil {
		s.log = nil
		return "", errors.Join(err, l.close())
	}
	return id, nil
}

func (s *service) file(id string) string { return filepath.Join(s.dir, "run-"+id+".wandb") }

// rejoin goes on in the file of an earlier session.
func (s *service) rejoin(r *track.Run, id string) error {
	found, err := filepath.Glob(filepath.Join(r.Out, Folder, folderPrefix+"*-"+id))
	if err != nil || len(found) != 1 {
		return errs.New("track", filepath.Join(r.Out, Folder), "put the folder of run "+id+" back, or delete "+filepath.Join(r.Out, track.Folder)+" to begin another",
			errs.Because(errs.ErrNotFound, fmt.Sprintf("%d folders of run %s", len(found), id)))
	}
	s.dir, s.num, s.row = found[0], 0, 0
	if t, err := time.ParseInLocation(stamp, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(s.dir), folderPrefix), "-"+id), r.Started.Location()); err == nil {
		s.started = t
	}
	s.log, err = open(s.file(id), func(record []byte) bool {
		kind, row := kindOf(record)
		if kind == kindExit || kind == 0 { // the end of a session, or no record
			return false
		}
		if s.num++; kind == kindHistory {
			s.row = row + 1
		}
		return true
	})
	return err
}

func (s *service) runRecord(r *track.Run, id string) (message, error) {
	settings := slices.Clone(r.Config)
	for _, f := range r.Facts {
		settings = append(settings, track.Setting{Key: "resslt." + f.Key, Value: f.Value})
	}
	c, err := config(settings)
	if err != nil {
		return nil, err
	}
	m := message{}.text(runID, id).text(runEntity, s.entity).text(runProject, s.project).sub(runConfig, c).
		text(runName, r.Name).text(runNotes, r.Notes)
	for _, t := range [][2]string{{"commit", r.Commit}, {"digest", r.Digest}, {"host", r.Host}} {
		if t[1] != "" {
			m = m.text(runTags, fmt.Sprintf("%s:%.12s", t[0], t[1])) // a tag has 64 characters at most
		}
	}
	m = m.text(runHost, r.Host).sub(runStart, timestamp(r.Started))
	if r.Commit != "" {
		m = m.sub(runGit, message{}.text(gitCommit, r.Commit))
	}
	return m, nil
}

// kinded is a record to be, with its kind.
type kinded struct {
	kind protowire.Number
	body message
}

// write numbers records and appends them.
func (s *service) write(records ...kinded) error {
	framed := make([][]byte, len(records))
	for i, r := range records {
		framed[i] = message{}.number(recordNum, s.num+int64(i)+1).sub(r.kind, r.body)
	}
	if err := s.log.write(framed...); err != nil {
		return err
	}
	s.num += int64(len(records))
	return nil
}

func (s *service) Log(_ context.Context, points []track.Point) error {
	records := make([]kinded, len(points))
	for i, p := range points {
		row, err := history(s.row+int64(i), p, s.started)
		if err != nil {
			return err
		}
		records[i] = kinded{kindHistory, row}
	}
	if err := s.write(records...); err != nil {
		return err
	}
	s.row += int64(len(points))
	return nil
}

// exitCodes are those that W&B shows as finished, failed and killed.
var exitCodes = map[track.Status]int64{track.Finished: 0, track.Failed: 1, track.Interrupted: 130}

func (s *service) End(_ context.Context, o track.Outcome) error {
	var records []kinded
	if len(o.Summary) > 0 {
		m, err := summary(o.Summary)
		if err != nil {
			return err
		}
		records = append(records, kinded{kindSummary, m})
	}
	var names []string
	for _, path := range o.Files {
		name := filepath.Base(path)
		switch err := copyFile(filepath.Join(s.dir, "files", name), path); {
		case errors.Is(err, errs.ErrNotFound): // there is none
		case err != nil:
			return err
		default:
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		records = append(records, kinded{kindFiles, filesRecord(names)})
	}
	exit := message{}.number(exitCode, exitCodes[o.Status]).number(exitRuntime, int64(o.Time.Sub(s.started).Seconds()))
	return s.write(append(records, kinded{kindExit, exit}, kinded{kindFooter, nil})...)
}

// maxCopied bounds a file that is kept with the run, bytes.
const maxCopied = 256 << 20

func copyFile(to, from string) error {
	f, err := bounded.Open(from)
	if err != nil {
		return errs.New("read", from, "make it readable", errs.BecauseErr(errs.ErrNotFound, err))
	}
	defer f.Close()
	return durable.Replace(to, func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(f, maxCopied))
		return err
	})
}

func (s *service) Close() error {
	if s.log == nil {
		return nil
	}
	l := s.log
	s.log = nil
	return l.close()
}
