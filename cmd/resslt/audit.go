package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"resslt/batcher/audit"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

const (
	// auditSecret is the file of what the audit's lot is drawn by. It stays where the
	// run is, so that one that is resumed looks at the same chunks.
	auditSecret = ".audit-secret"
	// refusalFile says what the audit found. While it is there the run is not gone on
	// with: what the worker made before was trained on.
	refusalFile = "audit-refused.txt"
)

// auditor makes some of the farm's chunks again, from the data as this machine has it.
func (s *session) auditor(ctx context.Context, run *runs.Run) (*auditor, error) {
	path := filepath.Join(s.out, auditSecret)
	secret, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret = make([]byte, audit.SecretBytes)
		rand.Read(secret) // never fails
		err = durable.ReplaceMode(path, 0o600, func(w io.Writer) error { _, err := w.Write(secret); return err })
	}
	if err != nil {
		return nil, folderError(s.out, err)
	}
	src, err := pipeline.OpenSource(ctx, &run.Info, nil, ingest.Options{})
	if err != nil {
		return nil, err
	}
	a, err := audit.New(&s.spec, src, audit.Options{Every: s.limits.audit, Secret: secret})
	if err != nil {
		return nil, err
	}
	return &auditor{a, filepath.Join(s.out, refusalFile)}, nil
}

// auditor is an Auditor that leaves word of what it found.
type auditor struct {
	*audit.Auditor
	path string
}

// Chunk writes the refusal down before the stream hears of it: whatever becomes of the
// process then, a resume finds it.
func (a *auditor) Chunk(ctx context.Context, c *wire.Chunk) error {
	err := a.Auditor.Chunk(ctx, c)
	if refusal := a.Refusal(); refusal != nil {
		if werr := durable.WriteFile(a.path, []byte(cli.Line(refusal)+"\n")); werr != nil {
			err = errors.Join(err, folderError(filepath.Dir(a.path), werr))
		}
	}
	return err
}

// refused returns ErrDeterminism where an audit found a false chunk among those of the
// folder's run.
func refused(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, refusalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError(dir, err)
	}
	return errs.New("go on in", dir, "leave that worker out and start over: with --fresh, without --resume",
		errs.Because(errs.ErrDeterminism, "the audit refused it: "+strings.TrimSpace(string(raw))))
}

// checkAudit says whether --audit can be; from, if not nil, is where recorded batches come
// from.
func (f *transportFlags) checkAudit(from *replay) error {
	switch {
	case f.audit < 0:
		return errs.New("--audit", fmt.Sprint(f.audit), "give 1 or more, or 0 for none", errs.ErrUsage)
	case f.audit > 0 && from != nil && !from.log:
		return errs.New("", "--audit", "prove the record by `resslt record verify --remake N` on its folder, and replay it without --audit",
			errs.Because(errs.ErrUsage, "a replay of pixels has no worker to find out"))
	}
	return nil
}
