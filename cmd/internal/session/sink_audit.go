package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"resslt/batcher/audit"
	"resslt/batcher/wire"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// auditSecret is the file of the secret by which the audit samples chunks. It stays in the
// run's folder, so that a resumed run samples the same ones.
const auditSecret = ".audit-secret"

// auditing makes some of the farm's chunks again, from the data as this machine has it, and
// compares them.
func auditing(ctx context.Context, l *leader, run *schemas.RunInfo) (*subscriber, error) {
	if l.opts.Audit == 0 {
		return nil, nil
	}
	path := filepath.Join(l.plan.Out, auditSecret)
	secret, err := bounded.ReadFile(path, audit.SecretBytes)
	if errors.Is(err, fs.ErrNotExist) {
		secret = make([]byte, audit.SecretBytes)
		rand.Read(secret) // never fails
		err = durable.ReplaceMode(path, 0o600, func(w io.Writer) error { _, err := w.Write(secret); return err })
	}
	if err != nil {
		return nil, errs.New("audit", path, "make the file readable and its folder writable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	src, err := pipeline.OpenSource(ctx, run, nil, ingest.Options{Warn: cli.Warn})
	if err != nil {
		return nil, err
	}
	a, err := audit.New(&l.plan.Spec, src, audit.Options{Every: l.opts.Audit, Secret: secret})
	if err != nil {
		return nil, err
	}
	return &subscriber{
		batches: &auditor{a, filepath.Join(l.plan.Out, refusalFile)},
		close: func() error {
			l.print(fmt.Sprintf("%d chunks were made again here", a.Audited()))
			return a.Close()
		},
	}, nil
}

// auditor is an Auditor that writes down what it refuses.
type auditor struct {
	*audit.Auditor
	path string
}

// Chunk writes the refusal before it returns it: whatever becomes of the process then, a
// resume finds it.
func (a *auditor) Chunk(ctx context.Context, c *wire.Chunk) error {
	err := a.Auditor.Chunk(ctx, c)
	if refusal := a.Refusal(); refusal != nil {
		err = errors.Join(err, durable.WriteFile(a.path, []byte(cli.Line(refusal)+"\n")))
	}
	return err
}
